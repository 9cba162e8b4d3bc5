//! The one constructor of outgoing HTTP clients.
