//! What goes to other shards, and how much of it they have not taken yet: a window in bytes for each pair of shards.
//!
//! A shard counts what it gives another, which says from time to time how much of that it has taken. While a window is full the clients of
//! this shard are not read from; a shard itself always takes what comes, so two that wait for each other go on. Only what carries a message
//! of a client counts: all else is small, and must get through for a window to open again.

use super::{
    router::ShardIndex,
    shard::{Shard, ShardMessage},
};

/// While so many bytes are with one other shard, or on their way to it, clients of this one are not read from.
const WINDOW_BYTES: usize = 1024 * 1024;
/// What a message takes beside its frame: its place in a batch, in memory that is shared, and what the allocator adds. So the smallest
/// messages are bounded in number, 4 096 for each window.
const BOOKKEEPING_BYTES: usize = 256;

/// What waits for the other shards, by their places.
#[derive(Debug)]
pub(crate) struct Outbound {
    shards: Vec<Peer>,
    window_bytes: usize,
}

/// One other shard.
#[derive(Debug, Default)]
struct Peer {
    waiting: Vec<ShardMessage>,
    /// Given to it, and not yet said to be taken.
    untaken_bytes: usize,
    /// Taken from it, and not yet told.
    untold_bytes: usize,
    before: Before,
}

/// As it was when the turn began.
#[derive(Clone, Copy, Debug, Default)]
struct Before {
    waiting: usize,
    untaken_bytes: usize,
    untold_bytes: usize,
}

impl Outbound {
    /// Towards so many shards, this one included.
    pub(super) fn new(count: ShardIndex) -> Self {
        Self {
            shards: (0..count).map(|_| Peer::default()).collect(),
            window_bytes: WINDOW_BYTES,
        }
    }

    /// Whatever is pushed from now on belongs to another turn.
    pub(super) fn begin_turn(&mut self) {
        for peer in &mut self.shards {
            peer.before = Before {
                waiting: peer.waiting.len(),
                untaken_bytes: peer.untaken_bytes,
                untold_bytes: peer.untold_bytes,
            };
        }
    }

    /// As it was when the turn began.
    pub(super) fn undo_turn(&mut self) {
        for peer in &mut self.shards {
            let before = peer.before;
            peer.waiting.truncate(before.waiting);
            peer.untaken_bytes = before.untaken_bytes;
            peer.untold_bytes = before.untold_bytes;
        }
    }

    pub(super) fn push(&mut self, to: ShardIndex, message: ShardMessage) {
        let peer = &mut self.shards[usize::from(to)];
        peer.untaken_bytes += message.bytes();
        peer.waiting.push(message);
    }

    /// Whether some shard has as much as it may have.
    fn is_full(&self) -> bool {
        (self.shards.iter()).any(|peer| peer.untaken_bytes >= self.window_bytes)
    }

    /// Whether some of what `from` sent must be told to be taken. Not each time: half a window at once costs next to nothing, and leaves the
    /// other half for what comes meanwhile.
    fn take_untold(&mut self, from: ShardIndex, bytes: usize) -> Option<usize> {
        let half = self.window_bytes / 2;
        let peer = &mut self.shards[usize::from(from)];
        peer.untold_bytes += bytes;
        (peer.untold_bytes >= half).then(|| std::mem::take(&mut peer.untold_bytes))
    }
}

impl Shard {
    /// All shards but this one.
    pub(super) fn other_shards(&self) -> impl Iterator<Item = ShardIndex> + use<> {
        let own = self.index;
        let all = (0..).take(self.outbound.shards.len());
        all.filter(move |shard| *shard != own)
    }

    /// What waits for another shard, taken.
    pub(crate) fn poll_outbound(&mut self, shard: ShardIndex) -> Vec<ShardMessage> {
        std::mem::take(&mut self.outbound.shards[usize::from(shard)].waiting)
    }

    /// Gives back what could not be sent, before what came since.
    pub(crate) fn return_outbound(&mut self, shard: ShardIndex, mut batch: Vec<ShardMessage>) {
        let newer = &mut self.outbound.shards[usize::from(shard)].waiting;
        batch.append(newer);
        *newer = batch;
    }

    /// Whether another shard does not keep up with what this one sends.
    pub(super) fn is_ahead_of_others(&self) -> bool {
        self.outbound.is_full()
    }

    /// A batch of `from` has been handled.
    pub(super) fn note_taken(&mut self, from: ShardIndex, bytes: usize) {
        if let Some(bytes) = self.outbound.take_untold(from, bytes) {
            self.outbound.push(from, ShardMessage::Taken { bytes });
        }
    }

    /// Another shard has taken so much of what it was sent.
    pub(super) fn handle_taken(&mut self, from: ShardIndex, bytes: usize) {
        let peer = &mut self.outbound.shards[usize::from(from)];
        debug_assert!(peer.untaken_bytes >= bytes, "more is taken than was given");
        peer.untaken_bytes = peer.untaken_bytes.saturating_sub(bytes);
    }
}

impl ShardMessage {
    /// How much it counts.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Publish { message, .. } => BOOKKEEPING_BYTES + message.size(),
            Self::Shared(shared) => BOOKKEEPING_BYTES + shared.message.size(),
            Self::Confirmed { .. }
            | Self::Interested { .. }
            | Self::Uninterested { .. }
            | Self::Group { .. }
            | Self::Settled { .. }
            | Self::Reborn { .. }
            | Self::Welcome(_)
            | Self::System(_)
            | Self::Taken { .. }
            | Self::Acknowledged { .. } => 0,
        }
    }
}

#[cfg(test)]
impl Shard {
    /// A window so narrow that it is met.
    pub(super) fn narrow_outbound(&mut self, window_bytes: usize) {
        self.outbound.window_bytes = window_bytes;
    }

    /// The most that any other shard has of what this one sent, bytes.
    pub(super) fn most_untaken(&self) -> usize {
        let untaken = self.outbound.shards.iter().map(|peer| peer.untaken_bytes);
        untaken.max().unwrap_or_default()
    }
}
