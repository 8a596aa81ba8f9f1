//! A large mail on its way into the spool: its pieces go to the file as they come, so that it is never in memory whole.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use sha2::{Digest, Sha256};
use tokio::io::{AsyncWrite, AsyncWriteExt as _};

use super::error::Error;
use super::intake::{self, Origin, Prepared};
use super::item::{Accepted, Batch};
use super::spool::{Spool, Spooled};
use super::{Queue, blocking};

/// Bytes that are handed to the disk at once.
const PIECE: usize = 256 << 10;

/// A mail that is on its way. Dropped before it is accepted, it leaves nothing.
#[derive(Debug)]
pub struct Incoming {
    partial: Arc<Mutex<Partial>>,
}

/// The end of an [`Incoming`] that takes the bytes. Never fails: what the disk said comes with the acceptance.
#[derive(Debug)]
pub struct Inlet {
    partial: Arc<Mutex<Partial>>,
}

#[derive(Debug)]
struct Partial {
    spool: Arc<Spool>,
    name: String,
    /// None once the file is whole.
    file: Option<tokio::fs::File>,
    digest: Sha256,
    size: u64,
    failure: Option<io::Error>,
}

impl Drop for Partial {
    fn drop(&mut self) {
        if self.file.is_some() {
            self.spool.give_up(&self.name);
        }
    }
}

impl Incoming {
    /// Where its bytes go.
    #[must_use]
    pub fn inlet(&self) -> Inlet {
        Inlet { partial: Arc::clone(&self.partial) }
    }

    /// How many bytes have come.
    #[must_use]
    pub fn size(&self) -> u64 {
        locked(&self.partial).size
    }

    /// Brings the file to the disk under its name. Its digest, and how it is stored.
    async fn keep(self) -> Result<([u8; 32], Spooled), Error> {
        let (spool, name, file, failure, sha256, size) = {
            let mut partial = locked(&self.partial);
            let (file, failure) = (partial.file.take(), partial.failure.take());
            let sha256: [u8; 32] = std::mem::take(&mut partial.digest).finalize().into();
            (Arc::clone(&partial.spool), partial.name.clone(), file, failure, sha256, partial.size)
        };
        let flushed = async {
            let mut file = file.ok_or_else(|| io::Error::other("it was stored before"))?;
            failure.map_or(Ok(()), Err)?;
            file.flush().await?;
            Ok::<_, io::Error>(file.into_std().await)
        };
        let flushed = flushed.await;
        let kept = blocking(move || {
            let kept = flushed
                .map_err(|error| spool.unwritten(&name, error))
                .and_then(|file| spool.keep(&name, &file))
                .and_then(|()| spool.sync());
            match kept {
                Ok(()) => Ok(name),
                Err(error) => {
                    spool.give_up(&name);
                    Err(error)
                }
            }
        });
        Ok((sha256, Spooled::File { name: kept.await?, size }))
    }
}

impl AsyncWrite for Inlet {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut partial = locked(&self.partial);
        let Partial { file, digest, size, failure, .. } = &mut *partial;
        let (Some(file), None) = (file, &failure) else { return Poll::Ready(Ok(bytes.len())) };
        match ready!(Pin::new(file).poll_write(cx, bytes)) {
            Ok(count) => {
                digest.update(bytes.get(..count).unwrap_or_default());
                *size = size.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
                Poll::Ready(Ok(count))
            }
            Err(error) => {
                *failure = Some(error);
                Poll::Ready(Ok(bytes.len()))
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl Queue {
    /// A place for a large mail.
    ///
    /// # Errors
    /// What the disk said.
    pub async fn incoming(&self) -> Result<Incoming, Error> {
        let spool = Arc::clone(&self.inner.spool);
        let partial = blocking(move || {
            let (name, file) = spool.create()?;
            let mut file = tokio::fs::File::from_std(file);
            file.set_max_buf_size(PIECE);
            Ok(Partial { spool, name, file: Some(file), digest: Sha256::new(), size: 0, failure: None })
        });
        Ok(Incoming { partial: Arc::new(Mutex::new(partial.await?)) })
    }

    /// As [`Self::accept`], for one mail whose bytes came into `incoming` and not with the batch.
    ///
    /// # Errors
    /// As [`Self::accept`].
    pub async fn accept_incoming(&self, batch: Batch, incoming: Incoming) -> Result<Vec<Accepted>, Error> {
        let Batch { key, uidvalidity, tenant, cursor, rebind, arrivals } = batch;
        let Some(arrival) = arrivals.into_iter().next() else { return Ok(Vec::new()) };
        let (sha256, raw) = incoming.keep().await?;
        let (uid, internal_date, stub) = (arrival.uid, arrival.internal_date, arrival.stub);
        let mail = Prepared { uid, internal_date, size: raw.size(), stub, sha256, raw };
        let origin = Origin { key, uidvalidity, tenant, cursor, rebind };
        self.write("storing mail", move |tx| intake::accept(tx, &origin, vec![mail])).await
    }
}

fn locked(partial: &Mutex<Partial>) -> MutexGuard<'_, Partial> {
    partial.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Clock, UtcMillis};
    use crate::config;
    use crate::ids::{Uid, UidValidity};
    use crate::queue::{Arrival, FolderKey, Raw};
    use crate::telemetry::progress::Progress;

    fn batch() -> Batch {
        let key = FolderKey { mailbox: "support".parse().expect("a name"), folder: "INBOX".to_owned() };
        let (uid, internal_date) = (Uid(1), UtcMillis(1));
        let arrival = Arrival { uid, internal_date, size: 0, stub: false, raw: bytes::Bytes::new() };
        let tenant = "main".parse().expect("a name");
        Batch { key, uidvalidity: UidValidity(1), tenant, cursor: None, rebind: false, arrivals: vec![arrival] }
    }

    #[tokio::test]
    async fn a_mail_in_pieces_is_the_mail_and_one_that_is_given_up_leaves_nothing() {
        let dir = tempfile::tempdir().expect("a folder");
        let files = || std::fs::read_dir(dir.path().join("spool")).expect("listed").count();
        let (clock, progress) = (Clock::fixed(UtcMillis(1)), Progress::new());
        let (queue, _) = Queue::open(dir.path(), &config::Store::default(), 2, clock, progress).expect("opened");
        let mail: Vec<u8> = (0_u32..200_000).flat_map(u32::to_le_bytes).collect();
        for whole in [false, true] {
            let incoming = queue.incoming().await.expect("a place");
            let mut inlet = incoming.inlet();
            for piece in mail.chunks(300_000) {
                inlet.write_all(piece).await.expect("it never fails");
            }
            drop(inlet);
            if !whole {
                drop(incoming);
                assert_eq!(files(), 0);
                continue;
            }
            let accepted = queue.accept_incoming(batch(), incoming).await.expect("stored");
            let digest: String = Sha256::digest(&mail).iter().take(6).map(|byte| format!("{byte:02x}")).collect();
            assert_eq!((accepted[0].size, &accepted[0].sha256_prefix), (800_000, &digest));
            assert!(matches!(queue.source(accepted[0].id).await.expect("kept"), Raw::File(_)));
            assert_eq!(&queue.raw(accepted[0].id).await.expect("kept")[..], &mail[..]);
        }
        assert_eq!(files(), 1);
        queue.close().await;
    }
}
