//! The architecture as a table: which crate lies on which layer, and what it may stand on.
//!
//! A change here is an architecture change: `docs/ARCHITECTURE.md` holds the same table, and `cargo xtask lint`
//! compares the two.

use std::fmt::Write as _;

/// One crate of the workspace.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) place: Place,
    /// Our crates that it may use.
    pub(crate) ours: &'static [&'static str],
    pub(crate) externals: Externals,
    /// Embedded by other services: no crate of the marketplace in its tree, not even in its tests.
    pub(crate) embeddable: bool,
}

/// Where a crate stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// On a layer; it may use lower ones only.
    Layer(u8),
    /// On a layer, and only ever a dev-dependency.
    DevOnly(u8),
    /// Not part of the product.
    Outside,
}

/// Which external crates may stand directly in the manifest (dev-dependencies are free).
#[derive(Debug)]
pub(crate) enum Externals {
    Any,
    Only(&'static [&'static str]),
    Not(&'static [&'static str]),
}

/// For crates that only compute: nothing that waits, talks, reads or rolls dice.
const NO_IO: Externals = Externals::Not(&[
    "anyhow",
    "async-trait",
    "axum",
    "figment",
    "futures",
    "getrandom",
    "hyper",
    "hyper-util",
    "reqwest",
    "rustls",
    "solana-client",
    "sqlx",
    "tokio",
    "tokio-util",
    "tower",
    "tower-http",
    "tracing-subscriber",
]);

/// For the crates of nouns and arithmetic.
const NOUNS: Externals = Externals::Only(&["serde", "thiserror", "time", "uuid"]);

/// Every member of the workspace, lowest layer first.
pub(crate) const LAYERS: &[Row] = &[
    Row {
        name: "compute-wallet",
        place: Place::Layer(0),
        ours: &[],
        externals: NO_IO,
        embeddable: true,
    },
    Row {
        name: "compute-outbound",
        place: Place::Layer(0),
        ours: &[],
        externals: Externals::Not(&["anyhow", "axum", "figment", "solana-client", "sqlx"]),
        embeddable: false,
    },
    Row {
        name: "compute-domain",
        place: Place::Layer(1),
        ours: &["compute-wallet"],
        // ssh-key parses the one noun that has a format of its own.
        externals: Externals::Only(&["serde", "ssh-key", "thiserror", "time", "uuid"]),
        embeddable: false,
    },
    Row {
        name: "compute-x402",
        place: Place::Layer(1),
        ours: &["compute-wallet"],
        externals: NO_IO,
        embeddable: true,
    },
    Row {
        name: "compute-mpp",
        place: Place::Layer(1),
        ours: &["compute-wallet"],
        externals: NO_IO,
        embeddable: true,
    },
    Row {
        name: "compute-fuzz",
        place: Place::DevOnly(2),
        ours: &["compute-wallet", "compute-mpp", "compute-x402"],
        externals: Externals::Any,
        embeddable: false,
    },
    Row {
        name: "compute-payment-double",
        place: Place::DevOnly(2),
        ours: &["compute-wallet", "compute-mpp"],
        externals: Externals::Any,
        embeddable: false,
    },
    Row {
        name: "compute-pricing",
        place: Place::Layer(2),
        ours: &["compute-domain"],
        externals: NOUNS,
        embeddable: false,
    },
    Row {
        name: "compute-evm",
        place: Place::Layer(2),
        ours: &[
            "compute-wallet",
            "compute-outbound",
            "compute-domain",
            "compute-x402",
        ],
        externals: Externals::Not(&[
            "anyhow",
            "axum",
            "figment",
            "hyper",
            "reqwest",
            "solana-client",
            "sqlx",
        ]),
        embeddable: false,
    },
    Row {
        name: "compute-engine",
        place: Place::Layer(3),
        ours: &[
            "compute-wallet",
            "compute-domain",
            "compute-mpp",
            "compute-x402",
            "compute-pricing",
        ],
        externals: Externals::Not(&[
            "anyhow",
            "axum",
            "figment",
            "hyper",
            "reqwest",
            "solana-client",
            "sqlx",
            "tokio",
        ]),
        embeddable: false,
    },
    Row {
        name: "compute-store",
        place: Place::Layer(4),
        ours: &["compute-domain", "compute-engine"],
        externals: Externals::Not(&["anyhow", "axum", "figment", "hyper", "reqwest"]),
        embeddable: false,
    },
    Row {
        name: "compute-http",
        place: Place::Layer(4),
        ours: &[
            "compute-domain",
            "compute-mpp",
            "compute-x402",
            "compute-engine",
        ],
        externals: Externals::Not(&["anyhow", "figment", "reqwest", "solana-client", "sqlx"]),
        embeddable: false,
    },
    Row {
        name: "compute-provider-vultr",
        place: Place::Layer(4),
        ours: &[
            "compute-outbound",
            "compute-domain",
            "compute-pricing",
            "compute-engine",
        ],
        externals: Externals::Not(&[
            "anyhow",
            "axum",
            "figment",
            "hyper",
            "solana-client",
            "sqlx",
        ]),
        embeddable: false,
    },
    Row {
        name: "compute-provider-digitalocean",
        place: Place::Layer(4),
        ours: &[
            "compute-outbound",
            "compute-domain",
            "compute-pricing",
            "compute-engine",
        ],
        externals: Externals::Not(&[
            "anyhow",
            "axum",
            "figment",
            "hyper",
            "solana-client",
            "sqlx",
        ]),
        embeddable: false,
    },
    Row {
        name: "compute-rail-facilitator",
        place: Place::Layer(4),
        ours: &[
            "compute-wallet",
            "compute-outbound",
            "compute-domain",
            "compute-x402",
            "compute-evm",
            "compute-engine",
        ],
        externals: Externals::Not(&[
            "anyhow",
            "axum",
            "figment",
            "hyper",
            "solana-client",
            "sqlx",
        ]),
        embeddable: false,
    },
    Row {
        name: "compute-rail-evm",
        place: Place::Layer(4),
        ours: &[
            "compute-wallet",
            "compute-outbound",
            "compute-domain",
            "compute-x402",
            "compute-evm",
            "compute-engine",
        ],
        externals: Externals::Not(&[
            "anyhow",
            "axum",
            "figment",
            "hyper",
            "solana-client",
            "sqlx",
        ]),
        embeddable: false,
    },
    Row {
        name: "compute-rail-solana",
        place: Place::Layer(4),
        ours: &[
            "compute-wallet",
            "compute-outbound",
            "compute-domain",
            "compute-x402",
            "compute-engine",
        ],
        // The one crate that may use solana-client.
        externals: Externals::Not(&["anyhow", "axum", "figment", "hyper", "reqwest", "sqlx"]),
        embeddable: false,
    },
    Row {
        name: "compute-rail-stripe",
        place: Place::Layer(4),
        ours: &[
            "compute-outbound",
            "compute-domain",
            "compute-mpp",
            "compute-engine",
        ],
        externals: Externals::Not(&[
            "anyhow",
            "axum",
            "figment",
            "hyper",
            "reqwest",
            "solana-client",
            "sqlx",
        ]),
        embeddable: false,
    },
    Row {
        name: "compute-rail-tempo",
        place: Place::Layer(4),
        ours: &[
            "compute-wallet",
            "compute-outbound",
            "compute-domain",
            "compute-mpp",
            "compute-evm",
            "compute-engine",
        ],
        externals: Externals::Not(&[
            "anyhow",
            "axum",
            "figment",
            "hyper",
            "reqwest",
            "solana-client",
            "sqlx",
        ]),
        embeddable: false,
    },
    Row {
        name: "compute-facilitator",
        place: Place::Layer(4),
        ours: &[
            "compute-wallet",
            "compute-domain",
            "compute-x402",
            "compute-engine",
        ],
        externals: Externals::Not(&[
            "anyhow",
            "figment",
            "hyper",
            "reqwest",
            "solana-client",
            "sqlx",
        ]),
        embeddable: false,
    },
    Row {
        name: "compute-simulator",
        place: Place::Layer(4),
        ours: &[
            "compute-wallet",
            "compute-domain",
            "compute-mpp",
            "compute-x402",
            "compute-engine",
        ],
        externals: Externals::Not(&["anyhow", "axum", "figment", "hyper", "reqwest", "sqlx"]),
        embeddable: false,
    },
    Row {
        name: "compute-testkit",
        place: Place::DevOnly(5),
        ours: &[
            "compute-wallet",
            "compute-outbound",
            "compute-domain",
            "compute-mpp",
            "compute-payment-double",
            "compute-x402",
            "compute-pricing",
            "compute-evm",
            "compute-engine",
            "compute-store",
            "compute-http",
            "compute-provider-vultr",
            "compute-rail-evm",
            "compute-rail-facilitator",
            "compute-simulator",
        ],
        externals: Externals::Any,
        embeddable: false,
    },
    Row {
        name: "compute-client",
        place: Place::Layer(2),
        ours: &[
            "compute-wallet",
            "compute-outbound",
            "compute-mpp",
            "compute-x402",
        ],
        externals: Externals::Not(&["anyhow", "axum", "figment", "sqlx"]),
        embeddable: false,
    },
    Row {
        name: "compute",
        place: Place::Layer(3),
        ours: &["compute-wallet", "compute-client"],
        externals: Externals::Not(&["axum", "figment", "sqlx"]),
        embeddable: false,
    },
    Row {
        name: "compute-server",
        place: Place::Layer(5),
        ours: &[
            "compute-wallet",
            "compute-outbound",
            "compute-domain",
            "compute-mpp",
            "compute-x402",
            "compute-pricing",
            "compute-evm",
            "compute-engine",
            "compute-store",
            "compute-http",
            "compute-facilitator",
            "compute-provider-vultr",
            "compute-provider-digitalocean",
            "compute-rail-evm",
            "compute-rail-facilitator",
            "compute-rail-solana",
            "compute-rail-stripe",
            "compute-rail-tempo",
            "compute-simulator",
        ],
        externals: Externals::Any,
        embeddable: false,
    },
    Row {
        name: "compute-vendor-double",
        place: Place::DevOnly(6),
        ours: &["compute-testkit"],
        externals: Externals::Any,
        embeddable: false,
    },
    Row {
        name: "xtask",
        place: Place::Outside,
        ours: &[],
        externals: Externals::Any,
        embeddable: false,
    },
];

/// Finds the row of a crate.
pub(crate) fn find_row(name: &str) -> Option<&'static Row> {
    LAYERS.iter().find(|row| row.name == name)
}

/// The table as it stands in `docs/ARCHITECTURE.md`.
pub(crate) fn markdown() -> String {
    let mut table = String::from(
        "| Crate | Layer | Our crates it may use | External crates it must not use |\n|---|---|---|---|\n",
    );
    for row in LAYERS {
        let place = match row.place {
            Place::Layer(layer) => layer.to_string(),
            Place::DevOnly(layer) => format!("{layer}, dev-dependency only"),
            Place::Outside => "outside".to_owned(),
        };
        let externals = match &row.externals {
            Externals::Any => "–".to_owned(),
            Externals::Only(names) => format!("all but {}", code_list(names)),
            Externals::Not(names) => code_list(names),
        };
        // Writing to a text cannot fail.
        let _ = writeln!(
            table,
            "| `{}` | {place} | {} | {externals} |",
            row.name,
            short_list(row.ours)
        );
    }
    table
}

fn short_list(names: &[&str]) -> String {
    let short: Vec<&str> = names
        .iter()
        .map(|name| name.trim_start_matches("compute-"))
        .collect();
    if short.is_empty() {
        "–".to_owned()
    } else {
        short.join(", ")
    }
}

fn code_list(names: &[&str]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    quoted.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_itself_only_points_downwards() {
        for row in LAYERS {
            let (Place::Layer(own) | Place::DevOnly(own)) = row.place else {
                assert!(
                    row.ours.is_empty(),
                    "{} stands outside and uses ours",
                    row.name
                );
                continue;
            };
            for used in row.ours {
                match find_row(used).map(|used| used.place) {
                    Some(Place::Layer(lower)) => assert!(lower < own, "{} -> {used}", row.name),
                    // What is for tests only may stand on what is for tests only.
                    Some(Place::DevOnly(lower)) if matches!(row.place, Place::DevOnly(_)) => {
                        assert!(lower < own, "{} -> {used}", row.name);
                    }
                    other => panic!("{} -> {used}: {other:?}", row.name),
                }
            }
        }
    }

    #[test]
    fn embeddable_crates_use_embeddable_crates_only() {
        for row in LAYERS.iter().filter(|row| row.embeddable) {
            for used in row.ours {
                assert!(
                    find_row(used).is_some_and(|used| used.embeddable),
                    "{} -> {used}",
                    row.name
                );
            }
        }
    }

    #[test]
    fn the_printed_table_has_one_line_for_each_crate() {
        let table = markdown();
        assert_eq!(table.lines().count(), LAYERS.len() + 2);
        assert!(table.contains("| `compute-pricing` | 2 | domain | all but `serde`"));
    }
}
