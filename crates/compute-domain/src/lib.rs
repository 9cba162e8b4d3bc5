//! The nouns of the marketplace and their lifecycles.
