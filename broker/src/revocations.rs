//! Follows the authorization server's list of revoked tokens (RFC 9770), so that a token that was revoked counts no more within a second.

use crate::{
    core::admission::TokenKeeping,
    credential::Credential,
    driver::shard::Common,
    keys::{Server, Source},
    reload::Announced,
};
use std::{
    collections::{BTreeMap, HashSet},
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use symbolon_ace_proto::{
    MalformedMessage, TokenHash, UnixTime,
    client_assertion::AssertionError,
    form,
    revocation_list::{self, RevocationList},
};
use symbolon_tls::https::{HttpsClient, HttpsError, HttpsRequest, Method};
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, sleep},
};

/// How long the authorization server is asked to hold an answer back that has nothing to tell, seconds.
const WAIT_SECS: u64 = 20;
/// The whole list is asked for this often: who follows changes alone may have missed one (RFC 9770 §8).
const WHOLE_EVERY: Duration = Duration::from_mins(15);
/// A server that does not hold answers back is asked this often.
const ASK_EVERY: Duration = Duration::from_millis(500);
/// After a failure the next try comes this much later, then twice that, and so on.
const RETRY_AFTER: Duration = Duration::from_millis(250);
/// The longest time between tries.
const RETRY_AFTER_AT_MOST: Duration = Duration::from_secs(5);
/// The largest answer, bytes: about 120 000 tokens.
const ANSWER_BYTES_AT_MOST: usize = 4 * 1024 * 1024;
/// Revoked tokens that are known at once, of one authorization server; an answer has no more.
const REVOKED_AT_MOST: usize = 120_000;

/// Where one authorization server has its list.
pub(crate) struct ListSource {
    client: HttpsClient,
    endpoint: String,
    credential: Credential,
}

/// What is known of revoked tokens, for those who tell it and those who act on it.
#[derive(Debug)]
pub(crate) struct Revocations {
    /// Of each list.
    lists: Mutex<BTreeMap<String, HashSet<TokenHash>>>,
    /// All together, to the shards.
    announced: watch::Sender<Arc<HashSet<TokenHash>>>,
    succeeded: AtomicU64,
    failed: AtomicU64,
}

/// Why nothing was learnt.
#[derive(Debug, thiserror::Error)]
enum FollowError {
    #[error(transparent)]
    Https(#[from] HttpsError),
    #[error("the authorization server answers with status {0}")]
    Status(u16),
    #[error("the answer is malformed: {0}")]
    Answer(#[from] MalformedMessage),
    #[error("the broker cannot authenticate: {0}")]
    Credential(#[from] AssertionError),
    #[error("there are more than {REVOKED_AT_MOST} revoked tokens")]
    TooMany,
}

/// One list, as far as it is known.
#[derive(Debug, Default)]
struct List {
    hashes: HashSet<TokenHash>,
    cursor: Option<u64>,
}

/// What to ask next.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Next {
    /// All of it.
    Whole,
    /// What is new.
    News,
}

impl List {
    /// Takes an answer in.
    fn take(&mut self, answer: RevocationList) -> Result<Next, FollowError> {
        let next = match answer {
            RevocationList::Full { hashes, cursor } => {
                self.hashes = hashes.into_iter().collect();
                self.cursor = cursor;
                Next::News
            }
            // Updates were lost (RFC 9770 §9.2.3); or there are so many that the whole is sooner told.
            RevocationList::Diff { more: true, .. } => Next::Whole,
            RevocationList::Diff {
                entries, cursor, ..
            } => {
                for entry in entries.iter().rev() {
                    for hash in &entry.removed {
                        self.hashes.remove(hash);
                    }
                    self.hashes.extend(&entry.added);
                }
                self.cursor = cursor.or(self.cursor);
                Next::News
            }
        };
        if self.hashes.len() > REVOKED_AT_MOST {
            return Err(FollowError::TooMany);
        }
        Ok(next)
    }
}

impl ListSource {
    pub(crate) fn new(client: &HttpsClient, endpoint: &str, credential: Credential) -> Self {
        Self {
            client: client.clone().with_body_limit(ANSWER_BYTES_AT_MOST),
            endpoint: endpoint.to_owned(),
            credential,
        }
    }

    async fn ask(
        &self,
        next: Next,
        cursor: Option<u64>,
        now: UnixTime,
    ) -> Result<RevocationList, FollowError> {
        let response = self.client.send(self.request(next, cursor, now)?).await?;
        if response.status != 200 {
            return Err(FollowError::Status(response.status));
        }
        Ok(RevocationList::from_cbor(&response.body)?)
    }

    /// GET, as the standard has it; where an assertion must go along, in the form of a POST.
    fn request(
        &self,
        next: Next,
        cursor: Option<u64>,
        now: UnixTime,
    ) -> Result<HttpsRequest, FollowError> {
        let introduction = self.credential.introduce(now)?;
        let mut parameters = Vec::new();
        if next == Next::News {
            parameters.push(("diff", "0".to_owned()));
            parameters.extend(cursor.map(|cursor| ("cursor", cursor.to_string())));
            parameters.push(("wait", WAIT_SECS.to_string()));
        }
        let mut headers = vec![("accept", revocation_list::MEDIA_TYPE.to_owned())];
        headers.extend(introduction.authorization_header());
        let is_post = !introduction.parameters.is_empty();
        parameters.extend(introduction.parameters);
        let form = form::encode(parameters.iter().map(|(name, value)| (*name, &**value)));
        if is_post {
            headers.push((
                "content-type",
                "application/x-www-form-urlencoded".to_owned(),
            ));
            return Ok(HttpsRequest {
                method: Method::POST,
                url: self.endpoint.clone(),
                headers,
                body: form.into(),
            });
        }
        let url = if form.is_empty() {
            self.endpoint.clone()
        } else {
            format!("{}?{form}", self.endpoint)
        };
        Ok(HttpsRequest {
            method: Method::GET,
            url,
            headers,
            body: Vec::new(),
        })
    }

    /// Follows the list for ever.
    async fn follow(&self, common: &Common) {
        let revocations = &common.revocations;
        let mut list = List::default();
        let mut next = Next::Whole;
        let mut pause = RETRY_AFTER;
        let mut whole_at = Instant::now();
        loop {
            if whole_at.elapsed() >= WHOLE_EVERY {
                next = Next::Whole;
            }
            let asked_at = Instant::now();
            let before = list.hashes.len();
            let answer = self.ask(next, list.cursor, common.time.now()).await;
            match answer.and_then(|answer| list.take(answer)) {
                Ok(then) => {
                    revocations.succeeded.fetch_add(1, Ordering::Relaxed);
                    if next == Next::Whole {
                        whole_at = asked_at;
                    }
                    if pause > RETRY_AFTER {
                        tracing::info!(endpoint = %self.endpoint, "the list of revoked tokens can be followed again");
                    }
                    pause = RETRY_AFTER;
                    let keeping = &common.rules.load().admission.tokens;
                    revocations.put(&self.endpoint, &list.hashes, keeping);
                    let is_news = next != then || list.hashes.len() != before;
                    next = then;
                    if !is_news && asked_at.elapsed() < ASK_EVERY {
                        sleep(ASK_EVERY).await;
                    }
                }
                Err(error) => {
                    revocations.failed.fetch_add(1, Ordering::Relaxed);
                    if pause == RETRY_AFTER {
                        tracing::warn!(endpoint = %self.endpoint, %error, "cannot follow the list of revoked tokens");
                    }
                    if matches!(error, FollowError::Status(_)) {
                        // Perhaps the cursor is not the server's any more.
                        next = Next::Whole;
                    }
                    sleep(pause).await;
                    pause = (pause * 2).min(RETRY_AFTER_AT_MOST);
                }
            }
        }
    }
}

impl Revocations {
    pub(crate) fn new() -> Self {
        Self {
            lists: Mutex::default(),
            announced: watch::Sender::new(Arc::default()),
            succeeded: AtomicU64::new(0),
            failed: AtomicU64::new(0),
        }
    }

    /// Where a shard hears of revoked tokens: all that are known, each time that there is a new one.
    pub(crate) fn subscribe(&self) -> watch::Receiver<Arc<HashSet<TokenHash>>> {
        self.announced.subscribe()
    }

    /// How often a list was asked for with an answer, and without.
    pub(crate) fn counts(&self) -> [u64; 2] {
        [&self.succeeded, &self.failed].map(|count| count.load(Ordering::Relaxed))
    }

    /// A list is this now. Admission knows it first, then the shards: who comes in meanwhile is refused, or found.
    fn put(&self, endpoint: &str, hashes: &HashSet<TokenHash>, keeping: &TokenKeeping) {
        let mut lists = self.lock();
        if lists.get(endpoint).is_some_and(|known| known == hashes) {
            return;
        }
        lists.insert(endpoint.to_owned(), hashes.clone());
        let all: HashSet<TokenHash> = lists.values().flatten().copied().collect();
        let new = keeping.revoke(all.clone());
        if !new.is_empty() {
            tracing::info!(revoked = new.len(), "tokens were revoked");
            self.announced.send_replace(Arc::new(all));
        }
    }

    /// A list stays true whoever panics: it is put in one step.
    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, HashSet<TokenHash>>> {
        self.lists.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Follows the lists of the authorization servers, wherever they are, until `shutdown` says so.
pub(crate) async fn run(
    mut source: Announced<Source>,
    common: Arc<Common>,
    mut shutdown: watch::Receiver<bool>,
) {
    loop {
        let content = Arc::clone(&source.borrow_and_update().content);
        // Dropped with the next announcement, and with it all that is under way.
        let mut following = JoinSet::new();
        for server in content.servers() {
            following.spawn(follow(Arc::clone(server), Arc::clone(&common)));
        }
        tokio::select! {
            changed = source.changed() => if changed.is_err() {
                return;
            },
            // The sender lives as long as the Broker: its end means shutdown too.
            _ = shutdown.wait_for(|stop| *stop) => return,
        }
    }
}

async fn follow(server: Arc<Server>, common: Arc<Common>) {
    if let Some(list) = server.list() {
        list.follow(&common).await;
    }
}

impl fmt::Debug for ListSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ListSource")
            .field("endpoint", &self.endpoint)
            .finish_non_exhaustive()
    }
}
