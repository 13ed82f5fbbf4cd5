$a /skole/tjener/home0 10.0.2.0/23(rw,sync,no_subtree_check)\n/skole/tjener/media 10.0.2.0/23(ro,sync,no_subtree_check)
