//! What reaches the recipient's token account.

use compute_domain::WalletAddress;
use compute_engine::ports::{Rail as _, SeenTransfer};
use compute_testkit::faults_log::injected;
use compute_wallet::SolanaKey;

use crate::{Market, PRICE, ata, merchant, reference, terms};

/// More blocks than finality needs.
const UNTIL_FINAL: u64 = 40;

impl Market {
    async fn mark(&self) -> String {
        let page = self.rail.arrivals(None).await.unwrap();
        assert_eq!((page.transfers, page.has_more), (Vec::new(), false));
        page.cursor
    }

    /// Everything that is final after a mark, where it ends, and in how many parts.
    async fn shown_since(&self, mark: &str) -> (Vec<SeenTransfer>, String, usize) {
        let (mut shown, mut cursor, mut parts) = (Vec::new(), mark.to_owned(), 0);
        loop {
            let page = self.rail.arrivals(Some(&cursor)).await.unwrap();
            shown.extend(page.transfers);
            cursor = page.cursor;
            parts += 1;
            if !page.has_more {
                assert!(page.read_up_to.secs() > 0);
                return (shown, cursor, parts);
            }
            assert_eq!(page.read_up_to.secs(), 0, "not all was read");
        }
    }

    /// Somebody sends tokens to the merchant, asked by nobody.
    fn gift(&self, from: &SolanaKey, amount: u64) -> String {
        let source = *ata(&from.address()).as_bytes();
        self.node
            .send_tokens(source, *ata(&merchant()).as_bytes(), amount)
    }
}

fn wallet(key: &SolanaKey) -> Option<WalletAddress> {
    Some(WalletAddress::Solana(key.address()))
}

#[tokio::test]
async fn a_payment_and_a_gift_are_shown_once_they_are_final() {
    let market = Market::open().await;
    let early = market.buyer(8, 5);
    market.gift(&early, 5);
    market.advance(UNTIL_FINAL);
    let mark = market.mark().await;
    let payment = market.pay(3);
    let paid = reference(&market.rail.settle(&payment).await).unwrap();
    let stranger = market.buyer(9, 50);
    injected("F085");
    let gift = market.gift(&stranger, 20);
    let (shown, mark, _) = market.shown_since(&mark).await;
    assert_eq!(shown, [], "not final yet");
    market.advance(UNTIL_FINAL);
    let (shown, mark, _) = market.shown_since(&mark).await;
    let told: Vec<_> = shown
        .iter()
        .map(|seen| (seen.reference.as_str(), seen.payer, seen.atomic))
        .collect();
    let payer = payment.payment().payer;
    assert_eq!(
        told,
        [
            (paid.as_str(), payer, u128::from(PRICE)),
            (gift.as_str(), wallet(&stranger), 20)
        ]
    );
    assert!(shown.iter().all(|seen| seen.log_index == 0));
    assert_eq!(market.shown_since(&mark).await.0, []);
}

#[tokio::test]
async fn what_fails_leaves_or_stays_is_no_arrival() {
    let market = Market::open().await;
    let mark = market.mark().await;
    let stranger = market.buyer(9, 50);
    injected("F085");
    // Too few; away from the merchant; between accounts of the merchant; another token.
    market.gift(&stranger, 51);
    market.gift(&stranger, 50);
    let (own, mint) = (*ata(&merchant()).as_bytes(), *terms().mint().as_bytes());
    let there = *ata(&stranger.address()).as_bytes();
    market.node.send_tokens(own, there, 10);
    market
        .node
        .set_token_account([0x61; 32], mint, *merchant().as_bytes(), 7);
    market.node.send_tokens([0x61; 32], own, 7);
    market
        .node
        .set_token_account([0x62; 32], [0x63; 32], [0x64; 32], 7);
    market.node.send_tokens([0x62; 32], own, 0);
    market.advance(UNTIL_FINAL);
    let (shown, _, _) = market.shown_since(&mark).await;
    let told: Vec<_> = shown.iter().map(|seen| seen.atomic).collect();
    assert_eq!(told, [50]);
}

/// Many tiny transfers, and more of them while they are read.
#[tokio::test]
async fn many_transfers_come_in_parts_each_once() {
    let market = Market::open().await;
    let mark = market.mark().await;
    let stranger = market.buyer(9, 1_000);
    injected("F085");
    let mut sent: Vec<_> = (0..75).map(|_| market.gift(&stranger, 1)).collect();
    market.advance(UNTIL_FINAL);
    let first = market.rail.arrivals(Some(&mark)).await.unwrap();
    assert!(first.has_more);
    // What comes meanwhile is for the next pass.
    let late = market.gift(&stranger, 1);
    market.advance(UNTIL_FINAL);
    let (rest, mark, parts) = market.shown_since(&first.cursor).await;
    assert!(parts >= 2, "{parts} parts");
    let shown = first.transfers.iter().chain(&rest);
    let mut shown: Vec<_> = shown.map(|seen| seen.reference.clone()).collect();
    shown.sort_unstable();
    sent.sort_unstable();
    assert_eq!(shown, sent);
    let (next, _, _) = market.shown_since(&mark).await;
    let next: Vec<_> = next.into_iter().map(|seen| seen.reference).collect();
    assert_eq!(next, [late]);
}

#[tokio::test]
async fn a_node_that_is_wrong_or_away_shows_nothing() {
    let market = Market::open().await;
    let mark = market.mark().await;
    let stranger = market.buyer(9, 50);
    market.gift(&stranger, 20);
    market.advance(UNTIL_FINAL);
    injected("F085");
    market
        .node
        .misbehave(|it| it.genesis = Some("1".repeat(43)));
    assert!(market.rail.arrivals(Some(&mark)).await.is_err());
    assert!(market.rail.arrivals(None).await.is_err());
    market.node.misbehave(|it| it.genesis = None);
    market.node.misbehave(|it| it.refuse = 1);
    assert!(market.rail.arrivals(Some(&mark)).await.is_err());
    market.node.misbehave(|it| it.hang_up = 1);
    assert!(market.rail.arrivals(Some(&mark)).await.is_err());
    // It lists a transaction and does not have it.
    market.node.misbehave(|it| it.forget = true);
    assert!(market.rail.arrivals(Some(&mark)).await.is_err());
    market.node.misbehave(|it| it.forget = false);
    assert!(
        market
            .rail
            .arrivals(Some("no cursor of ours"))
            .await
            .is_err()
    );
    assert_eq!(market.shown_since(&mark).await.0.len(), 1);
}
