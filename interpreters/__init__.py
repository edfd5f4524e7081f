"""The interpreters: everything that touches the world. Services reach them through ``import ironsecrets``."""
