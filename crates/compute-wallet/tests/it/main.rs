//! The crate as its users see it, against vectors of independent implementations.

#[cfg(test)]
mod auth_refusals;
#[cfg(test)]
mod auth_vectors;
#[cfg(test)]
mod payment_vectors;
