//! Who acts, where, and by which book: from the arguments, the environment and a folder.

use std::env;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use compute_client::{Book, Buyer, Identity, Shop};
use compute_wallet::EvmKey;
use secrecy::{ExposeSecret as _, SecretString};

use crate::args::Global;

/// The wallet for development servers: its money is worth nothing.
const DEV_WALLET: &str = "dev-wallet.key";

/// Everything that commands share.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) global: Global,
    /// Where the book and what was made for this command are kept.
    pub(crate) folder: PathBuf,
    pub(crate) shop: Shop,
    pub(crate) book: Book,
    pub(crate) identity: Identity,
    pub(crate) key: Option<Arc<EvmKey>>,
    /// Whether the wallet was made for development servers, and so never pays real money.
    pub(crate) is_play: bool,
}

impl Context {
    /// Reads who acts. Without any key, a development server is met with a wallet made for such; the shop is not
    /// asked what it is by commands that are `local`.
    ///
    /// # Errors
    /// When a key cannot be read, or the shop cannot be reached that would have to be asked.
    pub(crate) async fn open(global: Global, is_local: bool) -> Result<Self> {
        let shop = Shop::new(&global.url)?;
        let folder = state_dir(global.state_dir.as_deref())?;
        let api_key = read_secret("COMPUTE_API_KEY", global.api_key_file.as_deref())?;
        let mut key = read_key(&global)?;
        let mut is_play = false;
        if key.is_none() && api_key.is_none() && !is_local && shop.is_dev().await? {
            key = Some(dev_wallet(&folder)?);
            is_play = true;
        }
        let key = key.map(Arc::new);
        let identity = match (&api_key, &key) {
            (Some(api_key), _) => Identity::ApiKey(api_key.clone()),
            (None, Some(key)) => Identity::Wallet(Arc::clone(key)),
            (None, None) => Identity::Nobody,
        };
        Ok(Self {
            book: Book::new(&folder),
            folder,
            global,
            shop,
            identity,
            key,
            is_play,
        })
    }

    pub(crate) fn buyer(&self) -> Buyer<'_> {
        Buyer {
            shop: &self.shop,
            book: &self.book,
            identity: &self.identity,
            key: self.key.as_deref(),
        }
    }

    /// Whose things are asked for; an error that helps when nobody's.
    pub(crate) fn who(&self) -> Result<&Identity> {
        if matches!(self.identity, Identity::Nobody) {
            bail!(
                "whose? Set COMPUTE_KEY or --key-file to a wallet's private key, or COMPUTE_API_KEY or \
                 --api-key-file to an API key"
            );
        }
        Ok(&self.identity)
    }
}

/// The private key that was given, if one was.
fn read_key(global: &Global) -> Result<Option<EvmKey>> {
    let text = if global.key_stdin {
        let mut line = String::new();
        io::stdin()
            .read_line(&mut line)
            .context("read the private key")?;
        Some(SecretString::from(line))
    } else {
        read_secret("COMPUTE_KEY", global.key_file.as_deref())?
    };
    let Some(text) = text else {
        return Ok(None);
    };
    let key = EvmKey::from_hex(text.expose_secret().trim());
    key.map(Some)
        .context("the private key is not 32 bytes in hex")
}

/// From the file, or else from the environment.
#[expect(
    clippy::disallowed_methods,
    reason = "these are this binary's settings, and a secret is no argument"
)]
pub(crate) fn read_secret(name: &str, file: Option<&Path>) -> Result<Option<SecretString>> {
    let text = match file {
        Some(path) => {
            let text = fs::read_to_string(path);
            Some(text.with_context(|| format!("read {}", path.display()))?)
        }
        None => match env::var(name) {
            Ok(text) => Some(text),
            Err(env::VarError::NotPresent) => None,
            Err(env::VarError::NotUnicode(_)) => bail!("{name} is no text"),
        },
    };
    let text = text.map(|text| text.trim().to_owned());
    Ok(text.filter(|text| !text.is_empty()).map(SecretString::from))
}

/// The wallet for development servers, made when there is none yet.
fn dev_wallet(folder: &Path) -> Result<EvmKey> {
    let path = folder.join(DEV_WALLET);
    let text = kept_secret(folder, &path)?;
    EvmKey::from_hex(text.expose_secret())
        .with_context(|| format!("{} holds no key", path.display()))
}

/// What a file of ours holds that nobody else may read; 32 random bytes in hex when there is none yet.
pub(crate) fn kept_secret(folder: &Path, path: &Path) -> Result<SecretString> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(SecretString::from(text.trim())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => make_secret(folder, path),
        Err(error) => Err(error).with_context(|| format!("read {}", path.display())),
    }
}

fn make_secret(folder: &Path, path: &Path) -> Result<SecretString> {
    let mut bytes = [0_u8; 32];
    getrandom::fill(&mut bytes).context("no random bytes")?;
    let text = SecretString::from(hex::encode(bytes));
    fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
    let mut options = OpenOptions::new();
    // Two commands at once: the second one fails, and finds the secret the next time.
    options.create_new(true).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options
        .open(path)
        .with_context(|| format!("make {}", path.display()))?;
    writeln!(file, "{}", text.expose_secret())
        .with_context(|| format!("write {}", path.display()))?;
    Ok(text)
}

/// Where things are kept, by the usual rules of the system.
fn state_dir(given: Option<&Path>) -> Result<PathBuf> {
    if let Some(folder) = given {
        return Ok(folder.to_owned());
    }
    let absolute = |name: &str| {
        let path = env::var_os(name).map(PathBuf::from);
        path.filter(|path| path.is_absolute())
    };
    if let Some(folder) = absolute("XDG_STATE_HOME") {
        return Ok(folder.join("compute"));
    }
    let home = absolute("HOME").or_else(|| absolute("USERPROFILE"));
    let home = home.context("where to keep the book? Set COMPUTE_STATE_DIR")?;
    Ok(home.join(".local/state/compute"))
}
