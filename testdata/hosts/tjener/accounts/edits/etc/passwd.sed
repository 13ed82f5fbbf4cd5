$a kari:x:1000:1000:Kari Nordmann,,,:/home/kari:/bin/bash
