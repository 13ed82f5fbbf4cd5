s|^#domain=thekelleys.org.uk|domain=intern|
s|^#cache-size=150|cache-size=1000|
