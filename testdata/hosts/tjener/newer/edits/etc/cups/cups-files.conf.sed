# Merges with the local change: other lines.
s|^#FatalErrors config|#FatalErrors config,permissions|
s|^#SyncOnClose Yes|#SyncOnClose No|
