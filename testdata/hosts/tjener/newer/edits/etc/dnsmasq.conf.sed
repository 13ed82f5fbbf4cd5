# Conflicts with the local change: the same line.
s|^#cache-size=150|#cache-size=1500|
