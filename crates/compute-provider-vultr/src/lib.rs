//! Vultr as a provider of machines.
