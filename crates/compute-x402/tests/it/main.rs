//! The crate as its users see it: vectors, hostile input, and both sides talking to each other.

#[cfg(test)]
mod catalogue;
#[cfg(test)]
mod challenge;
#[cfg(test)]
mod edge_authorization;
#[cfg(test)]
mod evm_vectors;
#[cfg(test)]
mod malformed_headers;
#[cfg(test)]
mod odd_envelope;
mod offer_receipt;
#[cfg(test)]
mod paying;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod shop;
#[cfg(test)]
#[cfg(feature = "svm")]
mod svm;
