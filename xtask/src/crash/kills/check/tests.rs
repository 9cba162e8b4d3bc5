use super::super::evidence::Account;
use super::*;
use crate::crash::records::Settlement;

const WALLET: &str = "0xabc";
const PRICE: u64 = 192_000;

fn work(id: &str, kind: &str, transaction: &str, transfers: &[(&str, u64)]) -> Work {
    let transfers = transfers.iter();
    Work {
        id: id.to_owned(),
        kind: kind.to_owned(),
        state: "succeeded".to_owned(),
        code: String::new(),
        transaction: transaction.to_owned(),
        transfers: transfers
            .map(|(why, it)| ((*why).to_owned(), *it))
            .collect(),
    }
}

fn order(id: &str, status: &str, days: u64, works: Vec<Work>) -> Order {
    Order {
        id: id.to_owned(),
        owner: 0,
        status: status.to_owned(),
        is_over: status != "active",
        machine: format!("machine-{id}"),
        hours: 24 * days,
        ends_at: 1_000 + 86_400 * i64::try_from(days - 1).unwrap(),
        works,
    }
}

fn purchase(goods: Goods, funds: Funds, end: End, operation: &str, order: &str) -> Purchase {
    Purchase {
        owner: 0,
        goods,
        funds,
        price: PRICE,
        end,
        operation: Some(operation.to_owned()),
        order: (!order.is_empty()).then(|| order.to_owned()),
        answer: String::new(),
    }
}

/// What an owner has who has spent nothing of it.
fn account(deposited: u64) -> Account {
    Account {
        wallet: 0,
        balance: deposited,
        deposited,
    }
}

fn settled(transaction: &str, value: u64) -> Settlement {
    Settlement {
        from: WALLET.to_owned(),
        to: PAY_TO.to_owned(),
        value: value.to_string(),
        transaction: transaction.to_owned(),
    }
}

/// A top-up; an active order that was lengthened once; one of credits that failed; one that was
/// destroyed early.
fn honest() -> (Book, Evidence) {
    let mut evidence = Evidence::default();
    let mut failed = work(
        "p2",
        "provision",
        "",
        &[("spend", PRICE), ("spend_reversal", PRICE)],
    );
    failed.state = "failed".to_owned();
    for order in [
        order(
            "a",
            "active",
            2,
            vec![
                work("p1", "provision", "0x1", &[("sale", PRICE)]),
                work("e1", "extend", "0x2", &[("sale", PRICE)]),
            ],
        ),
        order("b", "failed", 1, vec![failed]),
        order(
            "c",
            "destroyed",
            1,
            vec![
                work("p3", "provision", "0x3", &[("sale", PRICE)]),
                work("d3", "destroy", "", &[("early_destroy", 190_000)]),
            ],
        ),
    ] {
        evidence.orders.insert(order.id.clone(), order);
    }
    let topup = work("t1", "topup", "0x4", &[("topup", PRICE)]);
    evidence.topups.insert("t1".to_owned(), (0, topup));
    evidence.accounts.insert(0, account(PRICE + 190_000));
    evidence.settlements = (1..=4).map(|n| settled(&format!("0x{n}"), PRICE)).collect();
    let machines = &mut evidence.machines;
    machines
        .alive
        .push(("machine-a".to_owned(), "pw".to_owned()));
    machines
        .passwords
        .insert("machine-a".to_owned(), "pw".to_owned());
    machines
        .made_for
        .insert("machine-a".to_owned(), "p1".to_owned());
    let machine = || Goods::Machine { with_key: false };
    let time = Goods::Time {
        order: "a".to_owned(),
    };
    let book = Book {
        purchases: vec![
            purchase(machine(), Funds::Payment, End::Accepted, "p1", "a"),
            purchase(time, Funds::Payment, End::Accepted, "e1", "a"),
            purchase(machine(), Funds::Credits, End::Refunded, "p2", "b"),
            purchase(machine(), Funds::Payment, End::Accepted, "p3", "c"),
            purchase(Goods::Credits, Funds::Payment, End::Accepted, "t1", ""),
        ],
        destructions: vec![super::super::book::Destruction {
            order: "c".to_owned(),
            credited: 190_000,
        }],
        passwords: vec![("a".to_owned(), "pw".to_owned())],
        first_ends: [("a".to_owned(), 1_000)].into(),
        ..Book::default()
    };
    (book, evidence)
}

/// How many promises are broken after somebody changed the records.
fn broken(change: impl FnOnce(&mut Book, &mut Evidence)) -> usize {
    let (mut book, mut evidence) = honest();
    change(&mut book, &mut evidence);
    violations(&book, &evidence, &[WALLET.to_owned()]).len()
}

fn account_of(evidence: &mut Evidence, owner: usize) -> &mut Account {
    evidence.accounts.get_mut(&owner).unwrap()
}

fn order_of<'e>(evidence: &'e mut Evidence, id: &str) -> &'e mut Order {
    evidence.orders.get_mut(id).unwrap()
}

#[test]
fn honest_records_break_no_promise() {
    let (book, evidence) = honest();
    let found = violations(&book, &evidence, &[WALLET.to_owned()]);
    assert_eq!(found, Vec::<String>::new());
}

#[test]
fn a_settlement_without_its_payment_is_found_and_the_other_way_round() {
    assert!(broken(|_, all| all.settlements.push(settled("0x9", 1))) > 0);
    assert!(broken(|_, all| all.settlements.truncate(3)) > 0);
    assert!(broken(|_, all| all.settlements[0].value = "1".to_owned()) > 0);
    assert!(broken(|_, all| all.settlements[0].to = "0x5".to_owned()) > 0);
    assert!(broken(|_, all| all.settlements[0].from = "0x5".to_owned()) > 0);
    let twice = |_: &mut Book, all: &mut Evidence| {
        order_of(all, "c").works[0].transaction = "0x1".to_owned();
    };
    assert!(broken(twice) > 0);
}

#[test]
fn money_that_came_from_nowhere_or_went_there_is_found() {
    assert!(broken(|_, all| account_of(all, 0).balance += 1) > 0);
    assert!(broken(|_, all| account_of(all, 0).deposited += 1) > 0);
    assert!(broken(|_, all| order_of(all, "b").works[0].transfers.truncate(1)) > 0);
    let refunded_twice = |_: &mut Book, all: &mut Evidence| {
        let back = ("spend_reversal".to_owned(), PRICE);
        order_of(all, "b").works[0].transfers.push(back);
        account_of(all, 0).balance += PRICE;
    };
    assert!(broken(refunded_twice) > 0);
    assert!(broken(|book, _| book.destructions[0].credited = 1) > 0);
}

/// Another owner for whom the same wallet paid by credential: an active order, and nothing else.
fn with_an_anonymous_buyer(book: &mut Book, evidence: &mut Evidence) {
    let works = vec![work("p5", "provision", "0x5", &[("sale", PRICE)])];
    let mut own = order("n", "active", 1, works);
    own.owner = 1;
    evidence.orders.insert("n".to_owned(), own);
    evidence.accounts.insert(1, account(0));
    evidence.settlements.push(settled("0x5", PRICE));
    let machines = &mut evidence.machines;
    machines
        .alive
        .push(("machine-n".to_owned(), "pw".to_owned()));
    machines
        .made_for
        .insert("machine-n".to_owned(), "p5".to_owned());
    let machine = Goods::Machine { with_key: true };
    let mut bought = purchase(machine, Funds::Payment, End::Accepted, "p5", "n");
    bought.owner = 1;
    book.purchases.push(bought);
}

#[test]
fn a_wallet_that_pays_for_two_owners_has_what_both_have() {
    assert_eq!(broken(with_an_anonymous_buyer), 0);
    let other_owner = |book: &mut Book, all: &mut Evidence| {
        with_an_anonymous_buyer(book, all);
        order_of(all, "n").owner = 0;
    };
    assert!(broken(other_owner) > 0);
    let other_payer = |book: &mut Book, all: &mut Evidence| {
        with_an_anonymous_buyer(book, all);
        account_of(all, 1).wallet = 1;
    };
    assert!(broken(other_payer) > 0);
    let richer = |book: &mut Book, all: &mut Evidence| {
        with_an_anonymous_buyer(book, all);
        account_of(all, 1).balance = 1;
    };
    assert!(broken(richer) > 0);
}

#[test]
fn an_order_whose_payment_was_declined_later_is_right_and_a_free_machine_is_not() {
    let decline = |all: &mut Evidence| {
        let work = &mut order_of(all, "a").works[0];
        work.transaction.clear();
        work.transfers.clear();
    };
    let free = |_: &mut Book, all: &mut Evidence| {
        decline(all);
        all.settlements.remove(0);
    };
    assert!(broken(free) > 0);
    let declined = |book: &mut Book, all: &mut Evidence| {
        decline(all);
        all.settlements.drain(..2);
        let order = order_of(all, "a");
        order.status = "failed".to_owned();
        order.works.truncate(1);
        order.works[0].state = "failed".to_owned();
        book.purchases.remove(1);
        book.passwords.clear();
        book.first_ends.clear();
        all.machines.alive.clear();
    };
    assert_eq!(broken(declined), 0);
}

#[test]
fn what_was_told_and_is_lost_is_found() {
    assert!(broken(|_, all| drop(all.orders.remove("b"))) > 0);
    assert!(broken(|_, all| drop(all.topups.remove("t1"))) > 0);
    assert!(broken(|_, all| drop(order_of(all, "a").works.remove(1))) > 0);
    assert!(broken(|_, all| order_of(all, "a").hours = 24) > 0);
    assert!(broken(|_, all| order_of(all, "a").ends_at += 1) > 0);
    assert!(broken(|_, all| order_of(all, "c").status = "active".to_owned()) > 0);
}

#[test]
fn what_is_there_and_was_never_told_is_found() {
    assert!(broken(|book, _| drop(book.purchases.remove(2))) > 0);
    assert!(broken(|book, _| book.purchases[1].end = End::Refused) > 0);
    let again = |book: &mut Book, _: &mut Evidence| {
        let purchase = book.purchases[0].clone();
        book.purchases.push(purchase);
    };
    assert!(broken(again) > 0);
}

#[test]
fn a_declined_try_need_not_be_told_and_a_settled_one_must() {
    let declined = |transfers: &[(&str, u64)]| {
        let mut work = work("e9", "extend", "", transfers);
        work.state = "failed".to_owned();
        work.code = "payment_declined".to_owned();
        work
    };
    assert_eq!(
        broken(|_, all| order_of(all, "a").works.push(declined(&[]))),
        0
    );
    let paid = declined(&[("sale", 1)]);
    assert!(broken(|_, all| order_of(all, "a").works.push(paid)) > 0);
}

#[test]
fn what_never_comes_to_rest_or_is_stuck_is_found() {
    for state in ["stuck", "running"] {
        let change = |_: &mut Book, all: &mut Evidence| {
            order_of(all, "a").works[1].state = state.to_owned();
        };
        assert!(broken(change) > 0, "{state}");
    }
}

#[test]
fn machines_and_orders_are_the_same() {
    let stray = ("machine-x".to_owned(), "pw".to_owned());
    assert!(broken(|_, all| all.machines.alive.push(stray)) > 0);
    assert!(broken(|_, all| all.machines.alive.clear()) > 0);
    let foreign = |_: &mut Book, all: &mut Evidence| {
        let for_whom = all.machines.made_for.get_mut("machine-a").unwrap();
        for_whom.push('x');
    };
    assert!(broken(foreign) > 0);
}

#[test]
fn a_password_told_twice_or_wrong_is_found() {
    let again = |book: &mut Book, _: &mut Evidence| {
        let told = book.passwords[0].clone();
        book.passwords.push(told);
    };
    assert!(broken(again) > 0);
    assert!(broken(|book, _| book.passwords[0].1.push('x')) > 0);
}

#[test]
fn what_no_client_may_be_told_is_found() {
    assert_eq!(
        broken(|book, _| book.wrong("402 after a payment".to_owned())),
        1
    );
}
