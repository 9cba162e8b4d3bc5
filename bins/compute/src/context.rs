//! Who acts, where, and by which book: from the arguments, the environment and a folder.

use std::env;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result, bail, ensure};
use compute_client::{Book, Buyer, Identity, Node, OwsChain, OwsWallet, Purse, Shop};
use compute_wallet::{EvmKey, SolanaKey};
use secrecy::{ExposeSecret as _, SecretString};

use crate::args::{Chain, Global};

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
    pub(crate) purse: Purse,
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
        let ows = ows_wallet(&global)?;
        ensure!(
            ows.is_none() || (key.is_none() && api_key.is_none()),
            "who acts? Give one of a private key, an API key, and --ows-wallet"
        );
        let mut is_play = false;
        if key.is_none() && api_key.is_none() && ows.is_none() && !is_local && shop.is_dev().await?
        {
            key = Some(Key::Evm(Arc::new(dev_wallet(&folder)?)));
            is_play = true;
        }
        let purse = purse(&global, key.as_ref(), ows.as_ref())?;
        let identity = match (&api_key, &key) {
            (Some(api_key), _) => Identity::ApiKey(api_key.clone()),
            (None, Some(Key::Evm(key))) => Identity::Wallet(Arc::clone(key)),
            (None, Some(Key::Solana(key))) => Identity::SolanaWallet(Arc::clone(key)),
            (None, None) => ows.map_or(Identity::Nobody, Identity::Ows),
        };
        Ok(Self {
            book: Book::new(&folder),
            purse,
            folder,
            global,
            shop,
            identity,
            is_play,
        })
    }

    pub(crate) fn buyer(&self) -> Buyer<'_> {
        Buyer {
            shop: &self.shop,
            book: &self.book,
            identity: &self.identity,
            purse: &self.purse,
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

/// A wallet's private key.
enum Key {
    Evm(Arc<EvmKey>),
    Solana(Arc<SolanaKey>),
}

impl Key {
    /// What it is is told by how it is written.
    fn parse(text: &str) -> Result<Self> {
        let text = text.trim();
        if let Ok(key) = EvmKey::from_hex(text) {
            return Ok(Self::Evm(Arc::new(key)));
        }
        let key = SolanaKey::parse(text);
        let key = key.context(
            "the private key is neither 32 bytes in hex, nor 64 bytes in base58 or as a list of numbers",
        )?;
        Ok(Self::Solana(Arc::new(key)))
    }
}

/// What pays: a key, and the nodes that are known.
fn purse(global: &Global, key: Option<&Key>, ows: Option<&Arc<OwsWallet>>) -> Result<Purse> {
    let mut purse = match (key, ows) {
        (Some(Key::Evm(key)), _) => Purse::default().with_evm(Arc::clone(key)),
        (Some(Key::Solana(key)), _) => Purse::default().with_solana(Arc::clone(key)),
        (None, Some(wallet)) => Purse::default().with_ows(Arc::clone(wallet)),
        (None, None) => Purse::default(),
    };
    if let Some(url) = &global.solana_node {
        purse = purse.with_solana_node(Node::new(url).context("--solana-node")?);
    }
    if let Some(url) = &global.megaeth_node {
        purse = purse.with_megaeth_node(Node::new(url).context("--megaeth-node")?);
    }
    Ok(purse)
}

/// The wallet that signs elsewhere, if one does.
fn ows_wallet(global: &Global) -> Result<Option<Arc<OwsWallet>>> {
    let Some(name) = &global.ows_wallet else {
        return Ok(None);
    };
    let chain = match global.ows_chain {
        Chain::Evm => OwsChain::Evm,
        Chain::Solana => OwsChain::Solana,
    };
    let wallet = OwsWallet::open(&global.ows_bin, name, chain)?;
    Ok(Some(Arc::new(wallet)))
}

/// The private key that was given, if one was.
fn read_key(global: &Global) -> Result<Option<Key>> {
    let text = if global.is_key_in_input() {
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
    Key::parse(text.expose_secret()).map(Some)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_known_by_how_it_is_written() {
        assert!(matches!(Key::parse(&"11".repeat(32)), Ok(Key::Evm(_))));
        assert!(matches!(
            Key::parse(&format!("0x{}\n", "11".repeat(32))),
            Ok(Key::Evm(_))
        ));
        // The seed of twos, with the public half that other libraries give it.
        let address = SolanaKey::from_seed(&[2; 32]).address();
        let pair: Vec<u8> = [[2; 32], *address.as_bytes()].concat();
        assert!(matches!(
            Key::parse(&format!("{pair:?}")),
            Ok(Key::Solana(_))
        ));
        for text in ["", "11", "[1,2]", "not a key"] {
            assert!(Key::parse(text).is_err(), "{text}");
        }
    }
}
