s|^#PermitRootLogin .*|PermitRootLogin no|
