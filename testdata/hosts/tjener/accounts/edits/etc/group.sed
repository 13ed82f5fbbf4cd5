/^sudo:/ s|$|kari|
$a kari:x:1000:\nitadmin:x:1001:kari
