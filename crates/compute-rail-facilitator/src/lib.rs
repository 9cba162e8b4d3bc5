//! Settles x402 payments through a remote facilitator.
