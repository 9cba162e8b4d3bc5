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

mod accounts;
mod ahead;
mod api_keys;
mod arrivals;
mod audit;
mod catalogs;
mod claims;
mod events;
mod fixture;
mod history;
mod identities;
mod instances;
mod leases;
mod ledger;
mod lots;
mod management_keys;
mod movements;
mod operations;
mod outbox;
mod payments;
mod places;
mod request_keys;
mod reserves;
mod sent;
mod statistics;
mod steps;
mod transactions;
mod vault;
mod watch;
mod webhooks;

pub use arrivals::tell as tell_arrivals;
pub use history::{History, tell as tell_history};

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
            identities::an_owner_may_have_no_wallet,
            identities::wallets_are_listed_ascending,
            identities::a_nonce_is_spent_once,
            identities::racing_requests_spend_a_nonce_once,
            identities::a_nonce_is_remembered_until_its_time,
            api_keys::under_one_name_an_owner_makes_one_key,
            api_keys::racing_requests_of_one_name_make_one_key,
            api_keys::a_key_reads_back_by_its_mac,
            api_keys::keys_are_listed_newest_first,
            api_keys::only_live_keys_count_towards_the_limit,
            api_keys::an_expired_key_is_not_live,
            api_keys::a_key_is_charged_up_to_its_budget,
            api_keys::a_key_that_is_revoked_or_has_expired_is_not_charged,
            api_keys::racing_charges_stay_within_the_budget,
            api_keys::racing_requests_stay_within_the_limit,
            api_keys::a_revocation_keeps_its_first_moment,
            api_keys::a_key_is_revoked_by_its_owner_only,
            management_keys::a_text_is_kept_until_it_is_erased,
            management_keys::a_text_is_erased_in_time,
            management_keys::a_purchase_makes_one_key,
            management_keys::a_key_of_a_declined_purchase_is_forgotten,
            places::an_owner_has_so_many_places,
            places::the_shop_has_so_many_places,
            places::all_instances_may_cost_so_much,
            places::a_place_that_becomes_dearer_stays_within_the_cap,
            places::racing_buyers_stay_within_the_caps,
            places::racing_buyers_of_one_owner_stay_within_its_cap,
            places::a_place_that_was_not_taken_cannot_be_freed,
            instances::every_instance_state_reads_back,
            instances::an_unknown_instance_cannot_be_saved,
            instances::instances_are_listed_newest_first,
            instances::pages_follow_one_another_without_gap,
            instances::saving_keeps_what_the_reconciler_wrote,
            instances::expired_instances_are_listed_oldest_first,
            instances::a_machine_belongs_to_one_instance,
            instances::a_locked_instance_has_one_writer,
            lots::lots_read_back_oldest_first,
            lots::a_lot_that_was_written_never_changes,
            lots::a_closing_is_never_undone,
            operations::every_operation_state_reads_back,
            operations::what_is_finished_is_not_written_again,
            operations::an_instance_has_one_open_operation,
            operations::racing_requests_open_one_operation,
            operations::an_operation_that_let_go_holds_nothing,
            operations::topups_do_not_stand_in_each_others_way,
            operations::the_operations_of_an_instance_are_listed_oldest_first,
            operations::what_a_human_may_want_to_see_is_listed,
            operations::a_hanging_operation_is_found,
            operations::what_a_payer_has_hanging_is_found,
            operations::a_settlement_that_never_concluded_hangs,
            operations::log_lines_are_numbered_from_zero,
            operations::racing_writers_number_their_lines_apart,
            claims::due_operations_are_claimed_oldest_first,
            claims::racing_workers_claim_each_operation_once,
            claims::a_stale_lease_is_lost,
            claims::an_expired_lease_that_nobody_took_still_saves,
            claims::a_released_operation_can_be_claimed,
            claims::one_operation_is_leased_unless_somebody_holds_it,
            claims::racing_operators_share_no_operation,
            claims::an_operation_at_rest_is_not_claimed,
            request_keys::a_name_stands_for_one_purchase,
            request_keys::a_name_belongs_to_its_owner,
            request_keys::a_payer_has_names_of_its_own,
            request_keys::a_name_passes_on_from_what_it_stood_for,
            request_keys::racing_purchases_share_no_name,
            request_keys::a_name_is_remembered_until_its_time,
            request_keys::a_name_needs_its_purchase,
            payments::every_payment_state_reads_back,
            payments::a_proof_is_claimed_once,
            payments::racing_requests_claim_a_proof_once,
            payments::a_declined_proof_can_be_claimed_again,
            payments::a_sealed_proof_lives_as_long_as_its_claim,
            payments::an_operation_has_one_payment,
            payments::one_arrival_of_money_serves_one_payment,
            payments::a_refund_needs_its_ledger_row,
            payments::an_unknown_payment_cannot_be_saved,
            payments::a_challenge_is_answered_once,
            payments::a_payer_may_have_no_wallet,
            payments::the_claims_of_a_wallet_are_counted,
            statistics::open_work_is_counted_by_kind,
            statistics::unknown_settlements_are_counted,
            statistics::machines_are_counted_by_state,
            statistics::open_transactions_are_counted_by_lane,
            statistics::every_transfer_is_in_two_sums,
            outbox::a_new_lane_begins_at_nonce_zero,
            outbox::a_nonce_is_written_under_the_lock_only,
            outbox::racing_replicas_never_share_a_nonce,
            outbox::every_chain_transaction_reads_back,
            outbox::a_chain_transaction_is_written_once,
            outbox::something_else_under_a_hash_is_refused,
            outbox::a_chain_transaction_keeps_the_rules_of_its_table,
            outbox::numbers_that_cannot_be_stored_are_refused,
            outbox::the_transactions_of_a_payment_are_listed_oldest_first,
            outbox::open_transactions_are_listed_by_nonce,
            sent::the_transactions_of_a_nonce_are_listed_oldest_first,
            sent::what_was_mined_is_listed_newest_first,
            sent::a_group_is_held_until_it_is_released,
            sent::the_first_to_take_a_group_holds_it,
            sent::a_conclusion_is_final,
            sent::of_one_nonce_one_transaction_is_included,
            sent::racing_replicas_conclude_once,
            sent::a_lane_costs_what_its_nonces_can_cost,
            sent::only_what_can_have_been_spent_since_counts,
            sent::a_lane_cannot_cost_more_than_there_is,
            sent::concluded_transactions_are_forgotten,
            ledger::a_transfer_is_posted_once_per_reason,
            ledger::racing_posts_write_one_transfer,
            ledger::racing_copies_spend_once,
            ledger::credits_are_what_arrived_and_left,
            ledger::racing_credits_all_arrive,
            ledger::a_debit_beyond_the_balance_writes_nothing,
            ledger::racing_debits_never_overdraw,
            ledger::locked_credits_are_still_there,
            ledger::a_transfer_that_is_rolled_back_moved_nothing,
            ledger::a_reason_moves_money_between_its_accounts_only,
            ledger::a_transfer_of_nothing_is_refused,
            ledger::a_balance_is_an_amount,
            movements::a_history_is_the_owners_own_and_newest_first,
            movements::a_page_goes_on_behind_its_cursor,
            vault::a_password_is_taken_once,
            vault::racing_readers_take_a_password_once,
            vault::a_take_that_is_rolled_back_took_nothing,
            vault::an_unread_password_expires,
            vault::an_unread_password_gives_way_to_the_next,
            vault::a_taken_password_has_no_successor,
            vault::a_machine_set_up_anew_has_another_password_once,
            catalogs::an_unchanged_catalogue_is_confirmed,
            catalogs::the_newest_eight_revisions_are_kept,
            catalogs::racing_replicas_record_one_revision,
            watch::active_instances_are_due_at_once_and_then_again,
            watch::a_round_takes_so_many,
            watch::an_instance_that_an_operation_holds_is_not_looked_at,
            watch::racing_reconcilers_look_once,
            watch::a_sighting_is_remembered,
            watch::what_is_missed_often_enough_is_missing_and_does_not_expire,
            watch::an_instance_that_ended_is_sighted_no_more,
            watch::the_machines_of_active_instances_are_listed,
            watch::a_suspect_is_counted_by_rounds,
            watch::whoever_is_explained_is_acquitted,
            watch::a_quarantine_begins_once_and_ends,
            watch::unasked_destructions_are_counted,
            watch::racing_destroyers_see_each_other,
            accounts::what_an_account_tells_reads_back,
            accounts::another_account_waits_to_be_accepted,
            accounts::refused_credentials_are_news_once,
            accounts::racing_replicas_record_one_account,
            accounts::live_instances_are_counted_by_provider,
            accounts::another_plan_is_remembered_by_looks,
            leases::a_duty_has_one_holder,
            leases::racing_replicas_share_no_duty,
            ahead::a_machine_has_one_notice_at_a_time,
            ahead::a_machine_has_one_wish_to_be_extended,
            ahead::what_is_planned_is_planned_for_an_instance,
            events::events_read_back_in_order,
            events::a_kind_that_is_not_known_reads_back_as_it_is,
            events::what_is_rolled_back_was_never_told,
            events::racing_transactions_number_their_events_without_a_gap,
            events::forgotten_events_leave_their_numbers_taken,
            arrivals::a_source_is_read_on_from_where_it_was_left,
            arrivals::racing_readers_read_each_part_once,
            arrivals::every_arrival_state_reads_back,
            arrivals::an_arrival_is_written_once,
            arrivals::an_arrival_moves_from_the_state_it_was_in_only,
            arrivals::one_arrival_is_the_money_of_one_payment,
            arrivals::arrivals_and_payments_find_each_other,
            arrivals::undecided_payments_are_listed_by_rail,
            arrivals::a_payment_is_reverted_until_it_is_back,
            arrivals::an_arrival_is_booked_once_per_reason,
            arrivals::a_good_history_of_arrivals_breaks_no_promise,
            arrivals::a_payment_that_never_arrived_is_found,
            reserves::a_reserve_reads_back_and_leaves_once,
            reserves::under_one_name_a_payment_is_refunded_once,
            reserves::racing_operators_make_one_refund,
            reserves::what_was_given_back_can_be_set_aside_once,
            reserves::what_went_back_is_out_of_the_books,
            reserves::a_reserve_without_its_ledger_row_is_found,
            reserves::disputes_read_back_and_move_on,
            reserves::a_dispute_is_found_by_what_it_is_about,
            reserves::disputes_are_read_on_from_where_it_was_left,
            reserves::credits_that_nobody_had_can_be_locked,
            webhooks::webhooks_read_back_up_to_the_limit,
            webhooks::racing_requests_stay_within_the_limit_of_webhooks,
            webhooks::a_webhook_is_written_by_its_holder,
            webhooks::the_webhooks_of_a_key_end_with_it,
            webhooks::of_racing_rotations_one_wins,
            webhooks::active_webhooks_with_something_to_send_are_due,
            webhooks::a_delivery_log_is_numbered_and_forgotten,
            audit::an_empty_shop_breaks_no_promise,
            audit::a_good_history_breaks_no_promise,
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
