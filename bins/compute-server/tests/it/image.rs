//! What the image holds, and the topology of `deploy/compose.yml`, without containers: the files that
//! the last stage of the Dockerfile takes, in a folder that cannot be written, run by a user without
//! rights, twice, on one PostgreSQL, with the environment of the compose file.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use compute_testkit::{facilitator, vultr};
use serde_json::Value;

use crate::buyer::{Buyer, order, pay};
use crate::first_sale::id_of;
use crate::server::{Backend, Home, Server};

const DOCKERFILE: &str = include_str!("../../../../deploy/Dockerfile");
const COMPOSE: &str = include_str!("../../../../deploy/compose.yml");
const KEY: &str = "f00102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

/// The built program stands in for the one that the first stage builds.
const PROGRAM: &str = env!("CARGO_BIN_EXE_compute-server");

/// The image's files in a folder, and a user who runs them.
struct Image {
    root: PathBuf,
    state: PathBuf,
    user: u32,
}

/// The lines of the last stage, each with what belongs to it.
fn last_stage() -> Vec<&'static str> {
    let (_, stage) = DOCKERFILE.rsplit_once("\nFROM ").unwrap();
    stage.lines().skip(1).collect()
}

/// The words behind an instruction of the last stage.
fn instruction(name: &str) -> &'static str {
    let mut lines = last_stage().into_iter();
    lines.find_map(|line| line.strip_prefix(name)).unwrap()
}

/// The files that the last stage takes: from where, to where, with which rights.
fn copied() -> Vec<(&'static str, &'static str, u32)> {
    let lines = last_stage().into_iter();
    let copies = lines.filter_map(|line| line.strip_prefix("COPY "));
    copies
        .map(|line| {
            let (options, files): (Vec<_>, Vec<_>) =
                line.split(' ').partition(|word| word.starts_with("--"));
            let mode = options
                .iter()
                .find_map(|option| option.strip_prefix("--chmod="));
            let mode = u32::from_str_radix(mode.unwrap(), 8).unwrap();
            let [from, to] = files.as_slice() else {
                panic!("not one file: {line}");
            };
            (*from, *to, mode)
        })
        .collect()
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|it| std::os::unix::fs::MetadataExt::uid(&it) == 0)
}

impl Image {
    fn assemble(folder: &Path) -> Self {
        let user = instruction("USER ").split(':').next().unwrap();
        let image = Self {
            root: folder.join("root"),
            state: folder.join("state"),
            user: user.parse().unwrap(),
        };
        for (from, to, mode) in copied() {
            let source = if from.ends_with("/release/compute-server") {
                PathBuf::from(PROGRAM)
            } else {
                Path::new(env!("CARGO_MANIFEST_DIR"))
                    .join("../..")
                    .join(from)
            };
            let target = image.root.join(to.trim_start_matches('/'));
            fs::create_dir_all(target.parent().unwrap()).unwrap();
            fs::copy(source, &target).unwrap();
            fs::set_permissions(&target, Permissions::from_mode(mode)).unwrap();
        }
        fs::create_dir(&image.state).unwrap();
        if is_root() {
            fs::set_permissions(folder, Permissions::from_mode(0o755)).unwrap();
            chown(&image.state, Some(image.user), Some(image.user)).unwrap();
        }
        image
    }

    fn path(&self, inside: &str) -> PathBuf {
        self.root.join(inside.trim_start_matches('/'))
    }

    /// A command of the image: its program with these words, as its user, in its working folder.
    fn command(&self, words: &[&str], environment: &[(String, String)]) -> Command {
        let program = self.path("/usr/local/bin/compute-server");
        let mut command = if is_root() {
            let mut command = Command::new("setpriv");
            let user = self.user.to_string();
            command.args(["--reuid", &user, "--regid", &user, "--clear-groups"]);
            command.args(["--no-new-privs", "--bounding-set=-all", "--inh-caps=-all"]);
            command.arg(program);
            command
        } else {
            Command::new(program)
        };
        command.env_clear().current_dir(&self.state);
        command.env("PATH", "/usr/bin:/bin");
        command.stdin(Stdio::null());
        for word in words {
            if word.starts_with("/etc/") {
                command.arg(self.path(word));
            } else {
                command.arg(word);
            }
        }
        command.envs(environment.iter().map(|(name, value)| (name, value)));
        command
    }

    fn run(&self, words: &[&str], environment: &[(String, String)]) -> Output {
        self.command(words, environment).output().unwrap()
    }
}

/// The environment of a server in the compose file, with this test's values: secrets lie in a folder,
/// what the operator names is named, and the partners are stand-ins.
fn environment(
    compose: &Value,
    home: &Home,
    secrets: &Path,
    cloud: &vultr::Handle,
    network: &facilitator::Handle,
) -> Vec<(String, String)> {
    let written = compose["x-server"]["environment"].as_object().unwrap();
    let named = |text: &str| match text.strip_prefix("${").map(|it| it.split(':').next()) {
        Some(Some("PUBLIC_URL")) => "http://127.0.0.1:4020".to_owned(),
        Some(Some("PAY_TO")) => "0x1111111111111111111111111111111111111111".to_owned(),
        Some(Some("FACILITATOR_URL")) => network.url(),
        Some(other) => panic!("nobody names {other:?}"),
        None => text.replace("/run/secrets/", &format!("{}/", secrets.display())),
    };
    let mut environment: Vec<(String, String)> = written
        .iter()
        .map(|(name, value)| (name.clone(), named(value.as_str().unwrap())))
        .collect();
    let database = home.absolute_url();
    for (name, content) in [
        ("database-url", database.as_str()),
        ("sealing-key", KEY),
        ("api-key-pepper", KEY),
        ("vultr-api-key", "test-key"),
    ] {
        let path = secrets.join(name);
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o444)).unwrap();
    }
    let ours = [
        ("DATABASE__MODE", "test"),
        ("TIMING__SCALE_DIVISOR", "20"),
        ("SERVER__LISTEN", "127.0.0.1:0"),
        ("METRICS__LISTEN", "127.0.0.1:0"),
        ("PROVIDERS__VULTR__BASE_URL", &cloud.api_url()),
        (
            "RAILS__BASE__RPC_URL",
            &network.rpc_url(facilitator::Network::Base),
        ),
    ];
    for (name, value) in ours {
        let name = format!("COMPUTE_SERVER_{name}");
        environment.retain(|(known, _)| *known != name);
        environment.push((name, value.to_owned()));
    }
    environment
}

fn words(value: &Value) -> Vec<&str> {
    let words = value.as_array().unwrap().iter();
    words.map(|word| word.as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_replicas_of_the_image_sell_from_one_database() {
    let home = Home::new(Backend::Postgres).await;
    let cloud = vultr::spawn(vultr::Options::default()).await.unwrap();
    let network = facilitator::spawn(facilitator::Options::default())
        .await
        .unwrap();
    let compose: Value = serde_norway::from_str(COMPOSE).unwrap();
    let image = Image::assemble(home.path());
    let secrets = home.path().join("secrets");
    fs::create_dir(&secrets).unwrap();
    let environment = environment(&compose, &home, &secrets, &cloud, &network);

    let migrate = words(&compose["services"]["migrate"]["command"]);
    let migrated = image.run(&migrate, &environment);
    let errors = String::from_utf8_lossy(&migrated.stderr).into_owned();
    assert!(migrated.status.success(), "{errors}");
    let serve = words(&compose["x-server"]["command"]);
    let start = || Server::launch(&home, image.command(&serve, &environment));
    let (first, second) = (start(), start());

    let buyer = Buyer::new();
    let payment = buyer.sign(&first, &order()).await;
    let bought = pay(&first, &order(), &payment).await.json(200).unwrap();
    buyer.wait_for(&second, &id_of(&bought), "active").await;
    assert_eq!(cloud.machines().len(), 1);
    for server in [&first, &second] {
        let address = server.url.strip_prefix("http://").unwrap();
        let healthy = image.run(&["health", "--ready", "--address", address], &[]);
        assert!(healthy.status.success(), "{healthy:?}");
        assert_eq!(user_of(server.process()), expected_user(&image));
    }
    // Nothing was written: neither into the image nor beside it.
    assert_eq!(fs::read_dir(&image.state).unwrap().count(), 0);
}

fn user_of(process: u32) -> u32 {
    let found = fs::metadata(format!("/proc/{process}")).unwrap();
    std::os::unix::fs::MetadataExt::uid(&found)
}

fn expected_user(image: &Image) -> u32 {
    if is_root() {
        image.user
    } else {
        user_of(std::process::id())
    }
}

#[test]
fn the_image_asks_the_server_whether_it_is_well() {
    let lines = DOCKERFILE.lines().map(str::trim);
    let check = lines
        .clone()
        .find(|line| line.starts_with("CMD [\"/usr/local/bin/compute-server\", \"health\""));
    assert!(check.is_some());
    // Not root, and every replica without rights of its own.
    assert_eq!(instruction("USER "), "65532:65532");
    let compose: Value = serde_norway::from_str(COMPOSE).unwrap();
    let server = &compose["x-server"];
    assert_eq!(server["read_only"], true);
    assert_eq!(server["cap_drop"][0], "ALL");
    for replica in ["first", "second"] {
        assert!(compose["services"][replica].is_object(), "{replica}");
    }
}
