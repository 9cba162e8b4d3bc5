//! The faults that some run must inject: crashes, payments, providers, the database and its host, and races.

/// One kind of fault.
#[derive(Debug)]
pub(super) struct Fault {
    /// Its id.
    pub(super) id: &'static str,
    /// What goes wrong.
    pub(super) text: &'static str,
    /// The part that it needs and that does not exist yet.
    pub(super) missing: Option<&'static str>,
}

impl Fault {
    /// The fault with this id.
    pub(super) fn find(id: &str) -> Option<&'static Self> {
        CATALOGUE.iter().find(|fault| fault.id == id)
    }
}

const fn fault(id: &'static str, text: &'static str) -> Fault {
    let missing = None;
    Fault { id, text, missing }
}

const fn later(id: &'static str, part: &'static str, text: &'static str) -> Fault {
    let missing = Some(part);
    Fault { id, text, missing }
}

const MPP: &str = "MPP and Stripe rails";

pub(super) const CATALOGUE: &[Fault] = &[
    // Crashes.
    fault("F001", "crash at the claim of a payment"),
    fault("F002", "crash between the claim and the settlement"),
    fault("F003", "crash while settling; the money arrives later"),
    fault("F004", "crash while settling; the money never moves"),
    fault("F005", "crash before the settlement is written down"),
    fault("F006", "crash before a machine is asked for"),
    fault("F007", "crash while creating; the machine was made"),
    fault("F008", "crash while creating; no machine was made"),
    fault(
        "F009",
        "crash while creating; the machine shows only minutes later",
    ),
    fault(
        "F010",
        "crash between the call for the SSH key and the create",
    ),
    fault(
        "F011",
        "crash before the made machine is written down; its password is lost",
    ),
    fault(
        "F012",
        "crash before or while the answer of a provision is sent",
    ),
    fault("F013", "crash while waiting for the machine to start"),
    fault(
        "F014",
        "crash between the clean-up of a failed provision and its refund",
    ),
    fault("F015", "crash after the refund, before its event"),
    fault("F016", "crash at a purchase with credits"),
    fault("F017", "crash at any step of a top-up"),
    fault("F018", "crash after an extension was claimed"),
    fault("F019", "crash while the payment of an extension settles"),
    fault(
        "F020",
        "crash before the hours of an extension are written down",
    ),
    fault("F021", "crash after the lock of a resize"),
    fault("F022", "crash with the machine powered off for its resize"),
    fault("F023", "crash during the resize itself"),
    fault("F024", "crash while a resize is concluded"),
    fault("F025", "crash at any step of a destruction"),
    fault("F026", "crash after an expiry was opened"),
    fault(
        "F027",
        "crash after a password was taken, before it is sent",
    ),
    fault("F028", "crash after an API key was written"),
    fault("F029", "crash after a nonce was spent"),
    fault(
        "F030",
        "crash between the decision on an orphan and its deletion",
    ),
    fault("F031", "crash between a look at the network and its commit"),
    fault("F032", "crash with a migration half done"),
    fault("F033", "crash during recovery, again and again"),
    fault(
        "F034",
        "a frozen or killed holder comes back after its lease was lost",
    ),
    fault("F035", "power loss: what was not synced is gone"),
    // Payments and facilitators.
    fault("F040", "settle times out, the money moved"),
    fault("F041", "settle answers a gateway error after the broadcast"),
    fault(
        "F042",
        "settle says failure without a transaction after the broadcast",
    ),
    fault("F043", "settle answers 200 with success false"),
    fault(
        "F044",
        "settle says success, the chain does not show the transfer",
    ),
    fault(
        "F045",
        "settle says success with a foreign payer, network or hash",
    ),
    fault(
        "F046",
        "the nonce is used at the first attempt: somebody else submitted it",
    ),
    fault(
        "F047",
        "the buyer cancels or empties the wallet between verify and settle",
    ),
    fault("F048", "verify says valid, settle refuses"),
    fault(
        "F049",
        "a facilitator that is down, slow, huge, redirecting or talks nonsense",
    ),
    fault("F050", "the facilitator answers 429"),
    fault(
        "F051",
        "the facilitator changes its fee payer to an unknown key",
    ),
    fault("F052", "one payload settles twice with different hashes"),
    fault("F053", "one transaction holds several of our payments"),
    fault("F054", "the chain takes a transfer back after delivery"),
    fault("F055", "the same payment many times in parallel"),
    fault("F056", "the same payment with another body"),
    fault("F057", "the same payment for another route or instance"),
    fault("F058", "the same authorization written differently"),
    fault("F059", "the same nonce with another value"),
    fault(
        "F060",
        "an amount above or below the quote, an edited or an old one",
    ),
    fault("F061", "wrong token, network, recipient or scheme"),
    fault(
        "F062",
        "validity in the past, too short, too long, too large",
    ),
    fault("F063", "decimals of another token"),
    fault(
        "F064",
        "a transaction with instructions that it must not have",
    ),
    fault("F065", "a settlement that is submitted and never lands"),
    fault(
        "F066",
        "the same message submitted again before confirmation",
    ),
    fault("F067", "the recipient has no token account"),
    fault("F068", "somebody runs ahead with the permit"),
    fault("F069", "crash between permit and transfer"),
    fault("F070", "a permit for too much, for others or for too long"),
    fault("F071", "account nonces: used twice, stuck, with a gap"),
    fault("F072", "no pending state to estimate gas against"),
    fault(
        "F073",
        "a node without a head, far behind or of another chain",
    ),
    fault("F074", "a wallet signature that names an arbitrary factory"),
    fault(
        "F075",
        "a contract wallet that burns gas or changes its mind",
    ),
    fault("F076", "the gas wallet is empty"),
    fault(
        "F077",
        "a challenge that is forged, foreign, expired or altered",
    ),
    fault("F078", "a hash of a transfer that is not the challenge's"),
    fault("F079", "one hash submitted in parallel and in other forms"),
    later("F080", MPP, "a sponsored transaction that would revert"),
    fault(
        "F081",
        "card payments replayed, unfinished, disputed; forged webhooks",
    ),
    fault("F082", "the payer is on the block list"),
    fault("F083", "the payer is not the authenticated caller"),
    fault("F084", "somebody else's payment from a log or proxy"),
    fault("F085", "money that nobody announced"),
    fault("F086", "a cache between us and the client"),
    fault("F087", "the answer is lost after settlement and create"),
    // Providers.
    fault("F100", "a create without an answer; the machine exists"),
    fault(
        "F101",
        "a create that fails at the provider; the machine exists",
    ),
    fault("F102", "a create is accepted, and no machine ever shows"),
    fault("F103", "two machines with one mark"),
    fault(
        "F104",
        "sold out, a closed region, a missing image, the account's limit",
    ),
    fault("F105", "the provider refuses our credentials"),
    fault("F106", "the provider's rate limit"),
    fault(
        "F107",
        "a state that goes back and forth, an address that is none",
    ),
    fault("F108", "a machine that never runs"),
    fault("F109", "a delete is refused"),
    fault("F110", "a delete is accepted, and the machine stays"),
    fault("F111", "404 because the key sees another account"),
    fault("F112", "a machine is deleted at the provider's panel"),
    fault("F113", "a machine is stopped by its provider"),
    fault("F114", "a list that changes between its pages"),
    fault("F115", "a list that is empty by mistake"),
    fault("F116", "a price or a plan that changed since it was named"),
    fault("F117", "no room for a resize, or one that fails"),
    fault("F118", "the answer to a resize is lost"),
    fault("F119", "a resize beside an extension or an end"),
    fault(
        "F120",
        "unknown words, strange members, pages in place of JSON",
    ),
    fault("F121", "the provider's clock is off"),
    fault("F122", "a mark that the provider changes"),
    fault(
        "F123",
        "an SSH key that is there already, or goes too early",
    ),
    fault("F124", "a customer's text reaches user data"),
    fault("F125", "two installations in one account"),
    // The database and its host.
    fault("F130", "SQLite is busy when a reader turns into a writer"),
    fault("F131", "a second process opens the same SQLite file"),
    fault("F132", "the disk is full at a write"),
    fault("F133", "the file is read-only, forbidden or gone"),
    fault("F134", "a page is corrupt, or the log is cut short"),
    fault(
        "F135",
        "PostgreSQL goes away in a transaction, or a commit's answer is lost",
    ),
    fault("F136", "a serialisation failure or a deadlock"),
    fault("F137", "every connection of the pool is in use"),
    fault("F138", "a statement is slower than its limit"),
    fault("F139", "a stale standby is read"),
    fault("F140", "two replicas take the same order"),
    fault("F141", "a replica freezes and goes on"),
    fault("F142", "the clock jumps"),
    fault("F143", "no file descriptors are left"),
    fault("F144", "two replicas migrate at once"),
    fault("F145", "the database is an older backup"),
    fault("F146", "a configuration that must be refused"),
    fault("F147", "a lock is held across an await"),
    fault("F148", "a task panics"),
    // Races and duplicates.
    fault("F150", "many purchases at once on credits for few"),
    fault(
        "F151",
        "top-ups, purchases, refunds and extensions mixed on one wallet",
    ),
    fault("F152", "many extensions of one machine at once"),
    fault("F153", "an extension at the second of expiry"),
    fault(
        "F154",
        "destroy twice, while provisioning, or before an extension",
    ),
    fault("F155", "a password is read many times at once"),
    fault("F156", "a key is revoked while it is used"),
    fault("F157", "one Idempotency-Key used again, in every way"),
    fault(
        "F158",
        "the client drops the connection in the middle of an answer",
    ),
    fault("F159", "one nonce at two replicas"),
    fault("F160", "many creates at once for few places"),
    fault("F161", "a webhook twice or out of order"),
    fault(
        "F162",
        "a second payment for a purchase whose answer was lost",
    ),
    // Webhooks.
    fault(
        "F240",
        "a webhook's URL that leads inwards, in every spelling",
    ),
    fault(
        "F241",
        "a webhook's name leads elsewhere after it was judged",
    ),
    fault(
        "F242",
        "a webhook's receiver redirects, never ends, or is slow",
    ),
    fault("F243", "a webhook's receiver never agreed"),
    fault("F244", "a webhook's secret is rotated"),
    // Versions.
    fault(
        "F254",
        "a newer version writes what an older one does not know",
    ),
    fault("F255", "the collector of traces is silent or gone"),
];
