# The whole school prints through this machine.
s|^Listen localhost:631|Port 631\nServerAlias *|
s|^Browsing .*|Browsing Yes\nBrowseLocalProtocols dnssd|
/^<Location \/>/,/^<\/Location>/ s|^  Order allow,deny|  Order allow,deny\n  Allow from 10.0.2.0/23\n  Allow from 127.0.0.1|
/^<Location \/admin>/,/^<\/Location>/ s|^  Order allow,deny|  Order allow,deny\n  Allow from 10.0.2.10|
