//! What every implementation of the `Store` port must do, as one function per sentence.
//!
//! `for_each_store_case!(name)` calls the macro `name` with the list of all cases, so that a crate
//! with an implementation can make a test of each.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a failed expectation fails the test"
)]

use std::sync::Arc;

use compute_engine::ports::Store;

mod api_keys;
mod catalogs;
mod claims;
mod fixture;
mod identities;
mod instances;
mod leases;
mod ledger;
mod operations;
mod payments;
mod transactions;
mod vault;

/// Calls `$instantiate!` with `group::case, …` for every case of the suite. Each case is a function
/// of [`store_suite`](crate::store_suite) that takes an empty, migrated and stamped store.
#[macro_export]
macro_rules! for_each_store_case {
    ($instantiate:ident) => {
        $instantiate! {
            transactions::a_dropped_transaction_leaves_nothing,
            transactions::a_rolled_back_transaction_leaves_nothing,
            transactions::a_failed_transaction_cannot_be_committed,
            transactions::a_read_transaction_cannot_write,
            transactions::a_reader_sees_one_moment,
            transactions::an_abandoned_begin_harms_nobody,
            transactions::the_database_can_be_written,
            identities::an_owner_is_made_once_per_wallet,
            identities::racing_replicas_make_one_owner,
            identities::wallets_are_listed_ascending,
            identities::a_nonce_is_spent_once,
            identities::racing_requests_spend_a_nonce_once,
            identities::a_nonce_is_remembered_until_its_time,
            api_keys::a_key_reads_back_by_its_mac,
            api_keys::keys_are_listed_newest_first,
            api_keys::only_live_keys_count_towards_the_limit,
            api_keys::racing_requests_stay_within_the_limit,
            api_keys::a_revocation_keeps_its_first_moment,
            api_keys::a_key_is_revoked_by_its_owner_only,
            instances::every_instance_state_reads_back,
            instances::an_unknown_instance_cannot_be_saved,
            instances::instances_are_listed_newest_first,
            instances::what_is_over_is_listed_after_what_lives,
            instances::expired_instances_are_listed_oldest_first,
            instances::a_machine_belongs_to_one_instance,
            instances::a_locked_instance_has_one_writer,
            operations::every_operation_state_reads_back,
            operations::an_instance_has_one_open_operation,
            operations::racing_requests_open_one_operation,
            operations::the_newest_and_the_provision_are_found,
            operations::a_hanging_operation_is_found,
            operations::a_settlement_that_never_concluded_hangs,
            operations::log_lines_are_numbered_from_zero,
            operations::racing_writers_number_their_lines_apart,
            claims::due_operations_are_claimed_oldest_first,
            claims::racing_workers_claim_each_operation_once,
            claims::a_stale_lease_is_lost,
            claims::an_expired_lease_that_nobody_took_still_saves,
            claims::a_released_operation_can_be_claimed,
            claims::an_operation_at_rest_is_not_claimed,
            payments::every_payment_state_reads_back,
            payments::a_proof_is_claimed_once,
            payments::racing_requests_claim_a_proof_once,
            payments::a_declined_proof_can_be_claimed_again,
            payments::a_sealed_proof_lives_as_long_as_its_claim,
            payments::an_operation_has_one_payment,
            payments::one_arrival_of_money_serves_one_payment,
            payments::a_refund_needs_its_ledger_row,
            payments::an_unknown_payment_cannot_be_saved,
            ledger::a_transfer_is_posted_once_per_reason,
            ledger::racing_posts_write_one_transfer,
            ledger::credits_are_what_arrived,
            ledger::credits_never_fall_below_zero,
            ledger::a_transfer_of_nothing_is_refused,
            vault::a_password_is_taken_once,
            vault::racing_readers_take_a_password_once,
            vault::a_take_that_is_rolled_back_took_nothing,
            vault::an_unread_password_expires,
            vault::an_unread_password_gives_way_to_the_next,
            vault::a_taken_password_has_no_successor,
            catalogs::an_unchanged_catalogue_is_confirmed,
            catalogs::the_newest_eight_revisions_are_kept,
            catalogs::racing_replicas_record_one_revision,
            leases::a_duty_has_one_holder,
            leases::racing_replicas_share_no_duty,
        }
    };
}

/// An unlisted case would be dead code.
macro_rules! publish {
    ($($group:ident :: $case:ident),+ $(,)?) => {$(
        #[doc = concat!("Of the ", stringify!($group), " cases: `", stringify!($case), "`.")]
        pub async fn $case(store: Arc<dyn Store>) {
            $group::$case(store).await;
        }
    )+};
}

for_each_store_case!(publish);
