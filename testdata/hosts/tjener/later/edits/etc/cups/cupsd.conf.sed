s|^  Allow from 10.0.2.0/23|  Allow from 10.0.2.0/23\n  Allow from 10.0.4.0/24|
