s|^SystemGroup root lpadmin|SystemGroup root lpadmin itadmin|
