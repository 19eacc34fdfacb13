//! Shared Subscriptions (MQTT 5.0 §4.8.2): each message of a group goes to one of its members, on whatever shard; to another where that one is
//! lost before it was sent, or before it acknowledged QoS 1 and its session ended.

use super::{
    counters::{Count, Dropped},
    forwarding::Forwarding,
    groups::{Census, GroupKey, Next, Phase, Search},
    interest::UNAWAITED,
    journal::{Entry, SessionId, Transaction},
    message::Message,
    router::{LocalSubscriber, ShardIndex, SubscriptionOptions, Target},
    session::{Queued, Session, SessionKey, State, SubscriptionKey},
    shard::{Close, Now, Shard, ShardMessage},
    tickets::Ticket,
};
use smallvec::SmallVec;
use std::sync::Arc;
use symbolon_mqtt_proto::{Qos, delivery::OutgoingState};

/// A message of a group on its way from shard to shard.
#[derive(Clone, Debug)]
pub(crate) struct Shared {
    pub(crate) message: Arc<Message>,
    pub(crate) group: Arc<SubscriptionKey>,
    pub(crate) search: Search,
    pub(crate) ticket: Option<Ticket>,
    /// What is stored of it is a part of this.
    pub(crate) transaction: Option<Transaction>,
}

/// Who must hear that a message of a group is kept.
#[derive(Clone, Copy, Debug)]
enum Custody {
    Nobody,
    /// This shard, if the message leaves it.
    Own,
    Ticket(Ticket),
}

/// The search for a member that takes one message.
#[derive(Clone, Copy, Debug)]
struct Errand {
    group: GroupKey,
    search: Search,
    custody: Custody,
    transaction: Option<Transaction>,
}

impl Shard {
    /// To one member of each of these groups. Of a transaction each group that stores has a part; how many of these parts are to be
    /// written here, since no other shard does.
    pub(super) fn share(
        &mut self,
        forwarding: &Forwarding<'_>,
        groups: &[GroupKey],
        transaction: Option<Transaction>,
        now: Now,
    ) -> usize {
        let mut parts = 0;
        for group in groups {
            let transaction = transaction.filter(|_| self.groups.is_durable(*group));
            let ended_here = self.share_in(forwarding, *group, transaction, now);
            parts += usize::from(transaction.is_some() && ended_here);
        }
        parts
    }

    /// Whether the search for a member ended on this shard.
    fn share_in(
        &mut self,
        forwarding: &Forwarding<'_>,
        group: GroupKey,
        transaction: Option<Transaction>,
        now: Now,
    ) -> bool {
        let is_queued = forwarding.publish.delivery.qos() > Qos::AtMostOnce;
        match self.groups.choose(group) {
            // Its last member left in this very turn.
            None => true,
            Some((_, Phase::Any)) if !is_queued => {
                self.give_up(group, Dropped::Away);
                true
            }
            Some((shard, phase)) => {
                let custody = if is_queued && self.groups.is_durable(group) {
                    Custody::Own
                } else {
                    Custody::Nobody
                };
                let search = Search::new(phase);
                let errand = Errand {
                    group,
                    search,
                    custody,
                    transaction,
                };
                if shard == self.index {
                    self.seek(forwarding, errand, now)
                } else {
                    self.hand_on(forwarding, shard, errand)
                }
            }
        }
    }

    /// Another shard could not place this message, or says that it is our turn.
    pub(super) fn handle_shared(&mut self, shared: &Shared, now: Now) {
        let custody = shared.ticket.map_or(Custody::Nobody, Custody::Ticket);
        let transaction = shared.transaction;
        if transaction.is_some() {
            self.journal.begin_part();
        }
        let ended_here = match self.groups.find(&shared.group) {
            Some(group) => {
                let forwarding = Forwarding::of(&shared.message, now);
                let errand = Errand {
                    group,
                    search: shared.search,
                    custody,
                    transaction,
                };
                self.seek(&forwarding, errand, now)
            }
            None => self.kept(custody),
        };
        if transaction.is_some() {
            self.journal.end_part(transaction.filter(|_| ended_here));
        }
    }

    /// Gives the message to a member of this shard, or passes it to the next shard, less and less choosy. Whether the search ended here.
    fn seek(&mut self, forwarding: &Forwarding<'_>, mut errand: Errand, now: Now) -> bool {
        let is_queued = forwarding.publish.delivery.qos() > Qos::AtMostOnce;
        loop {
            let placed = self.place(forwarding, errand.group, errand.search.phase, now);
            let Err(why) = placed else {
                return self.kept(errand.custody);
            };
            match self.groups.next(errand.group, errand.search, is_queued) {
                Next::Shard(shard, search) => {
                    return self.hand_on(forwarding, shard, Errand { search, ..errand });
                }
                Next::Here(search) => errand.search = search,
                Next::Nobody => {
                    self.give_up(errand.group, why);
                    return self.kept(errand.custody);
                }
            }
        }
    }

    /// To the first of this shard's members, in turn, that can take it.
    fn place(
        &mut self,
        forwarding: &Forwarding<'_>,
        group: GroupKey,
        phase: Phase,
        now: Now,
    ) -> Result<(), Dropped> {
        let mut why = if forwarding.publish.delivery.qos() == Qos::AtMostOnce {
            Dropped::Away
        } else {
            Dropped::QueueFull
        };
        let Some(name) = self.groups.name(group).map(Arc::clone) else {
            return Err(why);
        };
        let phases: &[Phase] = match phase {
            Phase::Room => &[Phase::Room],
            Phase::Queue => &[Phase::Queue],
            Phase::Any => &[Phase::Queue, Phase::Any],
        };
        for phase in phases {
            for _ in 0..self.groups.member_count(group, *phase) {
                let Some(member) = self.groups.take_turn(group, *phase) else {
                    break;
                };
                match self.forward_to_member(forwarding, &member, (&name, *phase), now) {
                    Ok(()) => return Ok(()),
                    Err(dropped) => why = dropped,
                }
            }
        }
        Err(why)
    }

    /// Whether the search ended here after all.
    fn hand_on(&mut self, forwarding: &Forwarding<'_>, shard: ShardIndex, errand: Errand) -> bool {
        let Errand {
            group,
            search,
            custody,
            transaction,
        } = errand;
        let Some(name) = self.groups.name(group).map(Arc::clone) else {
            return self.kept(custody);
        };
        let ticket = match custody {
            Custody::Nobody => None,
            Custody::Own => Some(self.take_ticket()),
            Custody::Ticket(ticket) => Some(ticket),
        };
        let message = Shared {
            message: Arc::clone(forwarding.message()),
            group: name,
            search,
            ticket,
            transaction,
        };
        self.outbound.push(shard, ShardMessage::Shared(message));
        false
    }

    /// The search has ended here.
    fn kept(&mut self, custody: Custody) -> bool {
        match custody {
            // What it needs is in this shard's own journal.
            Custody::Nobody | Custody::Own => {}
            Custody::Ticket(ticket) => self.settle(ticket),
        }
        true
    }

    fn give_up(&mut self, group: GroupKey, why: Dropped) {
        self.counters.count(Count::Dropped(why));
        let group = self.groups.name(group);
        tracing::debug!(?group, ?why, "message dropped: no member takes it");
    }

    /// Makes or replaces a client's membership; whether it is new. The other shards hear of it under this request.
    pub(super) fn join_group(
        &mut self,
        key: SessionKey,
        subscription: &SubscriptionKey,
        options: &SubscriptionOptions,
        request: u64,
    ) -> bool {
        let group = self.place_group(subscription);
        let session = self.session(key);
        let is_online = session.state == State::Live;
        let is_durable = session.id.is_some();
        let member = LocalSubscriber::merge(key, &[(Target::Session(key), *options)]);
        let is_new = self.groups.join(group, member, is_online, is_durable);
        if is_new {
            self.counters.count(Count::Subscriptions);
            self.counters.count(Count::SharedSubscriptions);
            self.tell_group(group, request);
        }
        is_new
    }

    /// A client is no member any more.
    pub(super) fn leave_group(
        &mut self,
        key: SessionKey,
        id: Option<SessionId>,
        subscription: &SubscriptionKey,
    ) {
        let Some(group) = self.groups.find(subscription) else {
            return;
        };
        if self.groups.leave(group, key, id.is_some()) {
            self.counters.discount(Count::Subscriptions);
            self.counters.discount(Count::SharedSubscriptions);
            self.tell_group(group, UNAWAITED);
            self.prune_group(group, subscription);
        }
    }

    /// Another shard tells of its members of a group.
    pub(super) fn handle_census(
        &mut self,
        from: ShardIndex,
        subscription: &SubscriptionKey,
        census: Census,
    ) {
        let group = self.place_group(subscription);
        self.groups.set_census(group, from, census);
        self.prune_group(group, subscription);
    }

    /// The group's number here; topics lead to it from now on.
    fn place_group(&mut self, subscription: &SubscriptionKey) -> GroupKey {
        let (group, is_new) = self.groups.place(subscription);
        if is_new {
            let options = SubscriptionOptions::interest(false);
            let target = Target::Group(group);
            self.router.subscribe(&subscription.filter, target, options);
        }
        group
    }

    fn prune_group(&mut self, group: GroupKey, subscription: &SubscriptionKey) {
        if self.groups.prune(group) {
            self.router
                .unsubscribe(&subscription.filter, Target::Group(group));
        }
    }

    fn tell_group(&mut self, group: GroupKey, request: u64) {
        let census = self.groups.census(group);
        if let Some(name) = self.groups.name(group).map(Arc::clone) {
            self.tell_others(|| ShardMessage::Group {
                group: Arc::clone(&name),
                census,
                request,
            });
        }
    }

    /// The client of a session came or went: its groups know.
    pub(super) fn move_in_groups(&mut self, key: SessionKey, is_online: bool) {
        for group in self.groups_of(key) {
            self.groups.move_member(group, key, is_online);
            self.tell_group(group, UNAWAITED);
        }
    }

    fn groups_of(&self, key: SessionKey) -> SmallVec<[GroupKey; 4]> {
        // Those without a share name come first in their order.
        let subscriptions = self.session(key).subscriptions.iter().rev();
        subscriptions
            .take_while(|subscription| subscription.share_name.is_some())
            .filter_map(|subscription| self.groups.find(subscription))
            .collect()
    }

    /// The client is away: what was not sent to it goes to members that are there.
    pub(super) fn hand_over_unsent(&mut self, key: SessionKey, now: Now) {
        let groups = self.groups_of(key);
        let others: SmallVec<[Arc<SubscriptionKey>; 4]> = groups
            .into_iter()
            .filter(|group| self.groups.has_online(*group))
            .filter_map(|group| self.groups.name(group).map(Arc::clone))
            .collect();
        if !others.is_empty() {
            self.hand_over(key, |group| others.iter().any(|one| **one == *group), now);
        }
    }

    /// The client left this group: what was not sent to it goes to the others, if there are any.
    pub(super) fn hand_over_of_group(
        &mut self,
        key: SessionKey,
        subscription: &SubscriptionKey,
        now: Now,
    ) {
        if self.groups.find(subscription).is_some() {
            self.hand_over(key, |group| group == subscription, now);
        }
    }

    fn hand_over(
        &mut self,
        key: SessionKey,
        is_meant: impl Fn(&SubscriptionKey) -> bool,
        now: Now,
    ) {
        let session = self.session_mut(key);
        let id = session.id;
        let unsent = session.take_unsent(is_meant);
        self.give_away(id, unsent, now);
    }

    /// Gives messages of groups to other members, and takes them out of the session that they were stored for.
    pub(super) fn give_away(&mut self, id: Option<SessionId>, messages: Vec<Queued>, now: Now) {
        for queued in messages {
            let group = (queued.shared.as_deref()).and_then(|name| self.groups.find(name));
            let publish = queued.message.publish();
            if queued.message.remaining_secs(&publish, now.ms).is_err() {
                self.counters.count(Count::Dropped(Dropped::Expired));
            } else if let Some(group) = group {
                self.share_in(&Forwarding::of(&queued.message, now), group, None, now);
            }
            if let Some(id) = id {
                let place = queued.place;
                self.journal_after_tickets(Entry::RemoveMessage { id, place });
            }
        }
    }

    /// Disconnects members whose tokens were found to be over (RFC 9431 §3.2): after all else, since their messages go to others.
    pub(super) fn close_expired_members(&mut self, now: Now) {
        while let Some(at) = self.expired_members.pop() {
            if self.live(at).is_some() {
                self.close(at.session, &Close::token_expired(), now);
            }
        }
    }
}

impl Session {
    /// Messages of these groups that wait, taken.
    fn take_unsent(&mut self, is_meant: impl Fn(&SubscriptionKey) -> bool) -> Vec<Queued> {
        let mut taken = Vec::new();
        let bytes = &mut self.queued_bytes;
        self.queue.retain(|queued| {
            let stays = !(queued.shared.as_deref()).is_some_and(&is_meant);
            if !stays {
                *bytes -= queued.size();
                taken.push(queued.clone());
            }
            stays
        });
        taken
    }

    /// Of a session that ended: what another member of a group must get. Not what is in flight at QoS 2 (MQTT-4.8.2-5).
    pub(super) fn into_orphans(self) -> Vec<Queued> {
        let in_flight = (self.outgoing.iter()).filter_map(|(_, state, kept)| match state {
            OutgoingState::AwaitPubAck => kept?.as_deref(),
            OutgoingState::AwaitPubRec | OutgoingState::AwaitPubComp => None,
        });
        let is_shared = |queued: &&Queued| queued.shared.is_some();
        in_flight
            .chain(&self.queue)
            .filter(is_shared)
            .cloned()
            .collect()
    }
}

#[cfg(test)]
mod tests;
