//! What a machine costs and what that is in a token's atomic units.
