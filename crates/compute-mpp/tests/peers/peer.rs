//! A published library behind a program that answers questions.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Map, Value};

/// Where the programs are: a JSON object of names and the words of their commands.
const VARIABLE: &str = "COMPUTE_MPP_PEERS";

/// A running program. It ends with its input.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) name: String,
    child: Child,
    questions: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

/// All libraries that read and write headers, each started anew.
#[expect(
    clippy::disallowed_methods,
    reason = "whoever installs the libraries says where they are"
)]
pub(crate) fn all() -> Vec<Peer> {
    let text = std::env::var(VARIABLE)
        .unwrap_or_else(|_| panic!("{VARIABLE} is not set: run `cargo xtask interop mpp`"));
    let commands: Map<String, Value> = serde_json::from_str(&text).unwrap();
    assert!(!commands.is_empty(), "no peers");
    commands.iter().map(Peer::start).collect()
}

impl Peer {
    fn start((name, words): (&String, &Value)) -> Self {
        let words: Vec<String> = serde_json::from_value(words.clone()).unwrap();
        let (program, arguments) = words.split_first().unwrap();
        let mut child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        Self {
            name: name.clone(),
            questions: child.stdin.take(),
            answers: BufReader::new(child.stdout.take().unwrap()),
            child,
        }
    }

    /// What it answers, or what it objects to.
    pub(crate) fn try_ask(&mut self, question: &Value) -> Result<Value, String> {
        let questions = self.questions.as_mut().unwrap();
        writeln!(questions, "{question}").unwrap();
        questions.flush().unwrap();
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        let mut answer: Value = serde_json::from_str(&line)
            .unwrap_or_else(|error| panic!("{} said {line:?}: {error}", self.name));
        match answer["error"].take() {
            Value::Null => Ok(answer["ok"].take()),
            error => Err(error.to_string()),
        }
    }

    /// What it answers to a question that it must understand.
    pub(crate) fn ask(&mut self, question: &Value) -> Value {
        self.try_ask(question)
            .unwrap_or_else(|error| panic!("{} objects to {question}: {error}", self.name))
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.questions = None;
        let _ = self.child.wait();
    }
}
