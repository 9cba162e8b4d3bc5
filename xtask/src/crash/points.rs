//! Which fault of the catalogue a death at a fail point is.

/// The id of the death at a fail point `<kind>.<step>.<position>`, where the catalogue has one.
pub(super) fn fault_of(point: &str) -> Option<&'static str> {
    let (kind, rest) = point.split_once('.')?;
    let (step, position) = rest.split_once('.')?;
    match (kind, step, position) {
        ("provision", "settle", "begin.before") => Some("F001"),
        ("provision", "settle", "begin.after") => Some("F002"),
        ("provision", "settle", "effect.after" | "result.before") => Some("F005"),
        ("provision", "create", "begin.after") => Some("F006"),
        ("provision", "create", "effect.after" | "result.before") => Some("F011"),
        ("provision", "create", "result.after") => Some("F012"),
        ("provision", "await_ready", _) => Some("F013"),
        ("provision", "confirm_gone", "result.after")
        | ("provision", "refund", "effect.after" | "result.before") => Some("F014"),
        ("provision", "refund", "result.after") => Some("F015"),
        ("topup", ..) => Some("F017"),
        ("extend", "settle", "begin.before") => Some("F018"),
        ("extend", "settle", "begin.after" | "effect.after") => Some("F019"),
        ("extend", "settle", _) => Some("F020"),
        ("destroy", ..) => Some("F025"),
        ("resize", "change", "begin.before" | "begin.after") => Some("F021"),
        ("resize", "change" | "await_change", "effect.after" | "result.before") => Some("F023"),
        ("resize", ..) => Some("F024"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deaths_have_their_ids() {
        assert_eq!(fault_of("provision.settle.begin.before"), Some("F001"));
        assert_eq!(fault_of("extend.settle.result.after"), Some("F020"));
        assert_eq!(fault_of("destroy.confirm_gone.effect.after"), Some("F025"));
        assert_eq!(fault_of("provision.settle.result.after"), None);
        assert_eq!(fault_of("nonsense"), None);
    }
}
