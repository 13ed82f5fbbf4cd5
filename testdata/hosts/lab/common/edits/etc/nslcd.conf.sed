s|^uri .*|uri ldap://ldap.intern/|
s|^base .*|base dc=skole,dc=elm,dc=example|
