use serde_json::Value;

/// The list with this name in a file of `tests/fixtures`.
pub(crate) fn list(file: &str, name: &str) -> Vec<Value> {
    let file: Value = serde_json::from_str(file).unwrap();
    file[name].as_array().unwrap().clone()
}

pub(crate) fn text<'a>(case: &'a Value, name: &str) -> &'a str {
    case[name].as_str().unwrap()
}

/// The lines of a case as a server or a client sees them.
pub(crate) fn lines(case: &Value) -> Vec<&[u8]> {
    let lines = case["lines"].as_array().unwrap().iter();
    lines
        .map(|line| line.as_str().unwrap().as_bytes())
        .collect()
}
