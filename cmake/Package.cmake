# Filled in with the installed package once src/library exists.
