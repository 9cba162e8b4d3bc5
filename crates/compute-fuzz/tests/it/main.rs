//! Every committed input and every seed, through every target.

#[cfg(test)]
mod replay;
