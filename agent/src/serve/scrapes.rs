//! One scrape at a time, whose text is everybody's for a second.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use bytes::Bytes;
use tokio::sync::Mutex;
use tokio::task::spawn_blocking;

/// How old a text may be.
pub const FRESH: Duration = Duration::from_secs(1);

/// Scrapes, shared by all who ask for one.
#[derive(Clone, Debug, Default)]
pub struct Scrapes {
    newest: Arc<Mutex<Option<Scrape>>>,
}

#[derive(Debug)]
struct Scrape {
    ended: Instant,
    text: Bytes,
}

impl Scrapes {
    /// The text of the newest scrape, or of a new one. Who comes while one runs gets its text.
    ///
    /// # Errors
    /// The scrape fails. The next to ask tries again.
    pub async fn text(&self, scrape: impl FnOnce() -> Result<String> + Send + 'static) -> Result<Bytes> {
        let mut newest = Arc::clone(&self.newest).lock_owned().await;
        if let Some(scrape) = newest.as_ref().filter(|scrape| scrape.ended.elapsed() < FRESH) {
            return Ok(scrape.text.clone());
        }
        // The thread holds the lock: also where nobody waits for it any more, no other scrape begins before it ends.
        let work = move || {
            let text = Bytes::from(scrape()?);
            *newest = Some(Scrape { ended: Instant::now(), text: text.clone() });
            Ok(text)
        };
        spawn_blocking(work).await.context("the scrape has died")?
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn of_all_who_ask_at_once_one_scrapes_also_where_they_go_away() {
        let (scrapes, [running, most, total]) = (Scrapes::default(), [0; 3].map(|_| Arc::new(AtomicUsize::new(0))));
        let ask = || {
            let (scrapes, counts) = (scrapes.clone(), [&running, &most, &total].map(Arc::clone));
            tokio::spawn(async move {
                let work = move || {
                    let [running, most, total] = counts;
                    most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    std::thread::sleep(Duration::from_millis(150));
                    running.fetch_sub(1, Ordering::SeqCst);
                    Ok(format!("scrape {}", total.fetch_add(1, Ordering::SeqCst)))
                };
                scrapes.text(work).await
            })
        };
        let impatient = ask();
        tokio::time::sleep(Duration::from_millis(50)).await;
        let patient: Vec<_> = (0..100).map(|_| ask()).collect();
        impatient.abort();
        for one in patient {
            assert_eq!(one.await.unwrap().unwrap(), "scrape 0");
        }
        assert_eq!([&most, &total].map(|it| it.load(Ordering::SeqCst)), [1, 1]);
        tokio::time::sleep(FRESH).await;
        assert_eq!(ask().await.unwrap().unwrap(), "scrape 1", "an old text is nobody's");
    }

    #[tokio::test]
    async fn what_fails_is_tried_again() {
        let scrapes = Scrapes::default();
        scrapes.text(|| anyhow::bail!("no maps")).await.unwrap_err();
        assert_eq!(scrapes.text(|| Ok("text".to_owned())).await.unwrap(), "text");
    }
}
