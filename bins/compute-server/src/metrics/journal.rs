//! What every metric means. Counters that alarms read begin at zero, so that the first failure shows.

use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge};

/// Every counter, with its meaning.
const COUNTERS: &[(&str, &str)] = &[
    (
        "compute_http_requests_total",
        "Requests that were answered, by route template, method and class of status.",
    ),
    (
        "compute_http_refusals_total",
        "Answers that are problems, by route template and stable code.",
    ),
    (
        "compute_rail_calls_total",
        "Calls of payment networks, by rail, call and outcome.",
    ),
    (
        "compute_provider_calls_total",
        "Calls of providers, by provider, call and outcome.",
    ),
    (
        "compute_webhook_deliveries_total",
        "Events and pings that this process sent to webhooks, by outcome.",
    ),
    (
        "compute_trace_spans_total",
        "Spans that ended here, by outcome: sent to the collector of traces, or dropped.",
    ),
    (
        "compute_operations_rested_total",
        "Operations that this process brought to rest, by kind and state.",
    ),
    (
        "compute_ledger_moved_micros_total",
        "Micro-dollars that this process moved in the ledger, by reason.",
    ),
    (
        "compute_store_errors_total",
        "Statements, begins and commits of the database that failed, by kind of error.",
    ),
    (
        "compute_worker_rounds_total",
        "Rounds of the background loops, by worker.",
    ),
    (
        "compute_worker_failures_total",
        "Rounds that could not do their duty, by worker.",
    ),
    (
        "compute_worker_panics_total",
        "Rounds that broke off, by worker.",
    ),
];

/// Every histogram, with its meaning.
const HISTOGRAMS: &[(&str, &str)] = &[
    (
        "compute_http_request_seconds",
        "From a request to the begin of its answer, by route template.",
    ),
    (
        "compute_rail_call_seconds",
        "How long payment networks take, by rail and call.",
    ),
    (
        "compute_provider_call_seconds",
        "How long providers take, by provider and call.",
    ),
    (
        "compute_store_transaction_seconds",
        "From the begin of a transaction to its end, by mode and outcome.",
    ),
];

/// Every gauge, with its meaning.
const GAUGES: &[(&str, &str)] = &[
    (
        "compute_build_info",
        "Version and mode of the program; always 1.",
    ),
    (
        "process_start_time_seconds",
        "When the process started, in seconds since 1970.",
    ),
    ("process_open_fds", "Open files and sockets."),
    (
        "process_max_fds",
        "How many files and sockets the process may open.",
    ),
    ("process_resident_memory_bytes", "Memory of the process."),
    (
        "compute_http_requests_in_flight",
        "Requests that are being answered.",
    ),
    (
        "compute_clock_trusted",
        "Whether the clock may decide about destruction.",
    ),
    (
        "compute_database_writable",
        "Whether the database committed when it was last asked to.",
    ),
    (
        "compute_disk_free_bytes",
        "Free room on the disk of a SQLite database.",
    ),
    ("compute_disk_size_bytes", "Room on that disk in all."),
    (
        "compute_database_connections",
        "Connections to the database, by pool and state.",
    ),
    (
        "compute_provider_sells",
        "Whether new machines of a provider are sold.",
    ),
    ("compute_provider_closed", "Why they are not."),
    (
        "compute_catalog_age_seconds",
        "Since when a provider has not confirmed its catalogue.",
    ),
    ("compute_rail_ready", "Whether a way to pay is offered."),
    (
        "compute_rail_wallet_atomic",
        "What the hot wallet or the fee payer of a rail held for fees at the last look, in the smallest unit of the chain's coin; only of rails that settle by themselves.",
    ),
    (
        "compute_rail_wallet_floor_atomic",
        "With less than this in it, the rail is withdrawn; by the price of gas at the last look.",
    ),
    ("compute_machines", "Live machines, by provider and state."),
    (
        "compute_machines_in_trouble",
        "Live machines that their provider does not know or has stopped, or that are past their time.",
    ),
    (
        "compute_operations",
        "Operations that are not at rest, by kind and state.",
    ),
    (
        "compute_operations_oldest_seconds",
        "How long ago the oldest of them was opened.",
    ),
    (
        "compute_settlements_unknown",
        "Operations whose money may have moved without our knowing.",
    ),
    (
        "compute_settlements_unknown_oldest_seconds",
        "Since when the oldest of them does.",
    ),
    (
        "compute_card_refunds_open",
        "Refunds to cards that are under way.",
    ),
    (
        "compute_card_refunds_oldest_seconds",
        "How long ago the oldest of them was ordered.",
    ),
    (
        "compute_chain_transactions_open",
        "Transactions that the server signed and its chain has not concluded.",
    ),
    (
        "compute_chain_transactions_oldest_seconds",
        "How long ago the oldest of them was signed.",
    ),
    (
        "compute_webhooks_due",
        "Webhooks that have something to be sent now, counted up to 1000.",
    ),
    (
        "compute_suspects",
        "Machines at providers that no order explains.",
    ),
    (
        "compute_suspects_oldest_seconds",
        "How long ago the oldest of them was first found.",
    ),
    (
        "compute_quarantine",
        "Whether nothing ends without its owner's asking.",
    ),
    (
        "compute_unasked_destructions",
        "Machines that ended without their owners' asking within timing.guard_window.",
    ),
    (
        "compute_unasked_destructions_allowed",
        "How many may before the rest waits.",
    ),
    (
        "compute_ledger_micros",
        "What the accounts of the ledger hold, in micro-dollars.",
    ),
    (
        "compute_audit_findings",
        "Broken promises that the last audit by this process found.",
    ),
    (
        "compute_audit_last_timestamp_seconds",
        "When this process last audited the books, or else when it started.",
    ),
    (
        "compute_worker_last_round_timestamp_seconds",
        "When a background loop last ended a round.",
    ),
    (
        "compute_statistics_last_timestamp_seconds",
        "When the database was last counted.",
    ),
];

/// Tells the registry what everything means.
pub(super) fn describe() {
    for (name, meaning) in COUNTERS {
        describe_counter!(*name, *meaning);
    }
    for (name, meaning) in HISTOGRAMS {
        describe_histogram!(*name, *meaning);
    }
    for (name, meaning) in GAUGES {
        describe_gauge!(*name, *meaning);
    }
    gauge!("compute_audit_findings").set(0.0);
    for worker in ["driver", super::counting::WORKER] {
        counter!("compute_worker_panics_total", "worker" => worker).increment(0);
        counter!("compute_worker_failures_total", "worker" => worker).increment(0);
    }
    counter!("compute_store_errors_total", "error" => "unavailable").increment(0);
    for outcome in super::webhooks::OUTCOMES {
        counter!("compute_webhook_deliveries_total", "outcome" => outcome).increment(0);
    }
}
