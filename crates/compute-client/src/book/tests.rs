use super::*;

fn dollars(amount: u64) -> Usd {
    Usd::from_micros(amount * 1_000_000)
}

fn purchase(id: &str, price: u64) -> Open {
    Open {
        id: id.to_owned(),
        at_s: 1,
        shop: "https://compute.example".to_owned(),
        path: "/compute/provision".to_owned(),
        body: serde_json::json!({"plan": "p"}),
        price: dollars(price),
        identity: "nobody".to_owned(),
        means: Means::Base,
        header: "x-payment".to_owned(),
        value: "abc".to_owned(),
    }
}

/// A book in a folder of its own, and that folder.
fn book() -> (Book, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    (Book::new(folder.path().join("state")), folder)
}

#[test]
fn what_may_have_been_spent_counts_until_it_is_known() {
    let (book, _folder) = book();
    book.set_cap(Some(dollars(10))).unwrap();
    book.reserve(purchase("a", 6), None).unwrap();
    let beyond = book.reserve(purchase("b", 5), None);
    assert!(matches!(beyond, Err(BookError::BeyondCap { .. })));
    book.close("a", Ending::Refused, "", 2).unwrap();
    book.reserve(purchase("b", 5), None).unwrap();
    book.close("b", Ending::Paid, "order", 3).unwrap();
    assert_eq!(
        book.totals().unwrap(),
        (Some(dollars(10)), dollars(5), Usd::ZERO)
    );
    let beyond = book.reserve(purchase("c", 6), None);
    assert!(matches!(beyond, Err(BookError::BeyondCap { .. })));
    book.reserve(purchase("c", 5), None).unwrap();
}

/// A cap below what was spent stops no purchase with credits, which were counted when they were bought.
#[test]
fn what_costs_nothing_more_is_beyond_no_cap() {
    let (book, _folder) = book();
    book.reserve(purchase("a", 6), None).unwrap();
    book.close("a", Ending::Paid, "", 2).unwrap();
    book.set_cap(Some(dollars(5))).unwrap();
    book.reserve(purchase("b", 0), Some(dollars(1))).unwrap();
    let beyond = book.reserve(purchase("c", 1), None);
    assert!(matches!(beyond, Err(BookError::BeyondCap { .. })));
}

#[test]
fn credit_at_a_shop_was_spent() {
    let (book, _folder) = book();
    book.reserve(purchase("a", 6), None).unwrap();
    book.close("a", Ending::Credited, "", 2).unwrap();
    assert_eq!(book.totals().unwrap(), (None, dollars(6), Usd::ZERO));
}

#[test]
fn the_lower_of_two_limits_holds() {
    let (book, _folder) = book();
    book.reserve(purchase("a", 6), Some(dollars(6))).unwrap();
    book.set_cap(Some(dollars(100))).unwrap();
    let beyond = book.reserve(purchase("b", 1), Some(dollars(6)));
    assert!(matches!(beyond, Err(BookError::BeyondCap { .. })));
    book.reserve(purchase("b", 1), Some(dollars(7))).unwrap();
}

#[test]
fn another_process_finds_what_was_written() {
    let (book, _folder) = book();
    book.reserve(purchase("a", 6), None).unwrap();
    let other = Book::new(&book.folder);
    assert_eq!(other.open().unwrap(), [purchase("a", 6)]);
    other.close("a", Ending::Paid, "o", 9).unwrap();
    let twice = book.close("a", Ending::Paid, "o", 9);
    assert!(matches!(twice, Err(BookError::NotOpen(_))));
    assert_eq!(book.closed().unwrap().len(), 1);
}

#[test]
fn a_name_stands_for_one_purchase_until_it_came_to_nothing() {
    let (book, _folder) = book();
    book.reserve(purchase("a", 1), None).unwrap();
    let again = book.reserve(purchase("a", 1), None);
    assert!(matches!(again, Err(BookError::NameTaken(_))));
    assert!(matches!(book.find("a").unwrap(), Some(Entry::Open(_))));
    book.close("a", Ending::Refused, "", 2).unwrap();
    book.reserve(purchase("a", 1), None).unwrap();
    book.close("a", Ending::Paid, "order", 3).unwrap();
    let again = book.reserve(purchase("a", 1), None);
    assert!(matches!(again, Err(BookError::NameTaken(_))));
    let Some(Entry::Closed(closed)) = book.find("a").unwrap() else {
        panic!("it is closed");
    };
    assert_eq!(
        (closed.ending, closed.order.as_str()),
        (Ending::Paid, "order")
    );
    assert_eq!(closed.request, purchase("a", 1).request());
    assert_eq!(book.find("b").unwrap(), None);
}

#[test]
fn how_it_is_paid_is_no_part_of_what_is_bought() {
    let plain = purchase("a", 1);
    let mut by_credits = plain.clone();
    by_credits.body = serde_json::json!({"use_credits": true, "max_total_usd": 5, "plan": "p"});
    assert_eq!(plain.request(), by_credits.request());
    by_credits.body = serde_json::json!({"plan": "q"});
    assert_ne!(plain.request(), by_credits.request());
}

/// Refusals without end push nothing out of the book that was charged.
#[test]
fn refusals_are_forgotten_first() {
    let mut pages = Pages::default();
    let closed = |id: String, ending| Closed {
        id,
        at_s: 1,
        shop: String::new(),
        path: String::new(),
        price: Usd::ZERO,
        ending,
        order: String::new(),
        request: String::new(),
    };
    pages.closed.push(closed("paid".to_owned(), Ending::Paid));
    for number in 0..=REMEMBERED {
        pages
            .closed
            .push(closed(number.to_string(), Ending::Refused));
        pages.forget();
    }
    assert_eq!(pages.closed.len(), REMEMBERED);
    assert!(pages.has_name("paid"));
}

/// Many at once never spend more than the cap together.
#[test]
fn the_cap_holds_for_all_processes_together() {
    let (book, _folder) = book();
    book.set_cap(Some(dollars(5))).unwrap();
    let taken: usize = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..20)
            .map(|number| {
                let book = book.clone();
                scope.spawn(move || book.reserve(purchase(&number.to_string(), 1), None).is_ok())
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| usize::from(thread.join().unwrap()))
            .sum()
    });
    assert_eq!(taken, 5);
    assert_eq!(book.open().unwrap().len(), 5);
}

#[cfg(unix)]
#[test]
fn nobody_else_reads_it() {
    use std::os::unix::fs::PermissionsExt as _;
    let (book, _folder) = book();
    book.reserve(purchase("a", 6), None).unwrap();
    let mode = fs::metadata(book.path()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_damaged_or_newer_book_is_never_taken_for_an_empty_one() {
    let (book, _folder) = book();
    book.reserve(purchase("a", 6), None).unwrap();
    fs::write(book.path(), "{\"version\":1").unwrap();
    assert!(matches!(book.totals(), Err(BookError::Damaged { .. })));
    fs::write(
        book.path(),
        "{\"version\":2,\"spent\":\"0\",\"open\":[],\"closed\":[]}",
    )
    .unwrap();
    assert!(matches!(book.totals(), Err(BookError::Newer { .. })));
    assert!(book.reserve(purchase("b", 1), None).is_err());
}
