//! Blockchain addresses and the signatures that prove who holds them, without I/O.
