//! The x402 payment protocol, versions 1 and 2, without a network.
