/^sudo:/ s|$|kari|
$a kari:!::\nitadmin:!::kari
