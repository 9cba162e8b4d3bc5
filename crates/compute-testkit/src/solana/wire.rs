//! Reading a transaction: the few fields that carrying it out needs.

use super::Key;

/// A transaction.
#[derive(Debug, Clone)]
pub(super) struct Transaction {
    pub(super) signatures: Vec<[u8; 64]>,
    pub(super) message: Vec<u8>,
    pub(super) keys: Vec<Key>,
    pub(super) blockhash: Key,
    pub(super) instructions: Vec<Instruction>,
}

/// One instruction.
#[derive(Debug, Clone)]
pub(super) struct Instruction {
    pub(super) program: usize,
    pub(super) accounts: Vec<usize>,
    pub(super) data: Vec<u8>,
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (head, tail) = self.0.split_at_checked(count)?;
        self.0 = tail;
        Some(head)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    /// A compact-u16 of one or two bytes, which is as long as a packet needs.
    fn length(&mut self) -> Option<usize> {
        let low = self.byte()?;
        if low < 0x80 {
            return Some(low.into());
        }
        let high = self.byte()?;
        Some(usize::from(low & 0x7f) | usize::from(high) << 7)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn list<T>(&mut self, mut read: impl FnMut(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let count = self.length()?;
        (0..count).map(|_| read(self)).collect()
    }
}

impl Transaction {
    /// Reads a transaction, legacy or version 0 without lookup tables.
    pub(super) fn read(wire: &[u8]) -> Option<Self> {
        let mut reader = Reader(wire);
        let signatures = reader.list(Reader::array)?;
        let message = reader.0.to_vec();
        if message.first()? & 0x80 != 0 {
            reader.byte()?;
        }
        let signers = usize::from(reader.byte()?);
        reader.take(2)?;
        let keys: Vec<Key> = reader.list(Reader::array)?;
        let blockhash = reader.array()?;
        let instructions = reader.list(|reader| {
            Some(Instruction {
                program: reader.byte()?.into(),
                accounts: reader.list(|reader| reader.byte().map(usize::from))?,
                data: {
                    let length = reader.length()?;
                    reader.take(length)?.to_vec()
                },
            })
        })?;
        (signatures.len() == signers).then_some(Self {
            signatures,
            message,
            keys,
            blockhash,
            instructions,
        })
    }

    /// Whether every signer signed, by another library than ours.
    pub(super) fn is_complete(&self) -> bool {
        let mut signed = self.keys.iter().zip(&self.signatures);
        signed.all(|(key, signature)| {
            let key = ring::signature::UnparsedPublicKey::new(&ring::signature::ED25519, key);
            key.verify(&self.message, signature).is_ok()
        })
    }

    /// The accounts of an instruction.
    pub(super) fn accounts(&self, instruction: &Instruction) -> Option<Vec<Key>> {
        let keys = instruction.accounts.iter();
        keys.map(|index| self.keys.get(*index).copied()).collect()
    }
}
