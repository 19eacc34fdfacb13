//! The groups of Shared Subscriptions (MQTT 5.0 §4.8.2): this shard's members by name, those of other shards by number, and whose turn it is.

use super::{
    hash_seed::HashSeed,
    router::{LocalSubscriber, ShardIndex},
    session::{SessionKey, SubscriptionKey},
};
use slab::Slab;
use std::{collections::HashMap, sync::Arc};

/// A group's place in its shard.
pub(crate) type GroupKey = u32;

/// What one shard tells the others of its members of a group.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Census {
    pub(crate) online: u32,
    /// Their clients may come back.
    pub(crate) away: u32,
    /// Some of them must not lose a message with the process.
    pub(crate) durable: bool,
}

/// How choosy the search for a member is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Phase {
    /// Who is there and can be sent to at once.
    Room,
    /// Who is there and has room in its queue.
    Queue,
    /// Who may come back and has room in its queue; or who is there, having come back while it was searched.
    Any,
}

/// A search for a member: it visits each shard at most once in each phase.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Search {
    pub(crate) phase: Phase,
    /// How many shards were visited or passed over in this phase.
    walked: ShardIndex,
}

/// Where a search goes on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Next {
    Shard(ShardIndex, Search),
    /// On this shard, less choosy.
    Here(Search),
    Nobody,
}

/// Members whose turn comes one after another.
#[derive(Debug)]
struct Ring {
    members: Vec<LocalSubscriber>,
    places: HashMap<SessionKey, usize, ahash::RandomState>,
    turn: usize,
}

/// One group as one shard sees it.
#[derive(Debug)]
struct Group {
    name: Arc<SubscriptionKey>,
    online: Ring,
    away: Ring,
    /// Own members whose sessions are stored.
    durable: usize,
    /// By shard; the own place stays empty.
    elsewhere: Box<[Census]>,
    /// By shard, how far it is ahead or behind of its share of the messages.
    credits: Box<[i64]>,
    away_turn: u64,
}

/// The groups that this shard knows: those with a member anywhere.
#[derive(Debug)]
pub(crate) struct Groups {
    own: ShardIndex,
    count: ShardIndex,
    by_name: HashMap<Arc<SubscriptionKey>, GroupKey, ahash::RandomState>,
    all: Slab<Group>,
    seed: HashSeed,
}

impl Census {
    fn members(self, phase: Phase) -> u32 {
        match phase {
            Phase::Room | Phase::Queue => self.online,
            Phase::Any => self.online.saturating_add(self.away),
        }
    }

    fn is_empty(self) -> bool {
        self.online == 0 && self.away == 0
    }
}

impl Search {
    pub(crate) fn new(phase: Phase) -> Self {
        Self { phase, walked: 0 }
    }
}

impl Groups {
    /// None yet, on shard `own` of `count`. The seed is secret, as clients choose the names.
    pub(crate) fn new(own: ShardIndex, count: ShardIndex, seed: &HashSeed) -> Self {
        Self {
            own,
            count,
            by_name: HashMap::with_hasher(seed.state()),
            all: Slab::new(),
            seed: seed.clone(),
        }
    }

    pub(crate) fn find(&self, name: &SubscriptionKey) -> Option<GroupKey> {
        self.by_name.get(name).copied()
    }

    /// The group of this name, made if need be; whether it is new.
    pub(crate) fn place(&mut self, name: &SubscriptionKey) -> (GroupKey, bool) {
        if let Some(key) = self.find(name) {
            return (key, false);
        }
        let name = Arc::new(name.clone());
        let shards = usize::from(self.count);
        let key = self.all.insert(Group {
            name: Arc::clone(&name),
            online: Ring::new(&self.seed),
            away: Ring::new(&self.seed),
            durable: 0,
            elsewhere: vec![Census::default(); shards].into(),
            credits: vec![0; shards].into(),
            away_turn: 0,
        });
        let key = GroupKey::try_from(key).expect("2^32 groups would take more than the memory");
        self.by_name.insert(name, key);
        (key, true)
    }

    /// Forgets a group that nobody is a member of; whether it was.
    pub(crate) fn prune(&mut self, key: GroupKey) -> bool {
        let Some(group) = self.all.get(key as usize) else {
            return false;
        };
        let is_empty =
            group.census().is_empty() && group.elsewhere.iter().all(|census| census.is_empty());
        if is_empty {
            let group = self.all.remove(key as usize);
            self.by_name.remove(&group.name);
        }
        is_empty
    }

    /// What the group is called; `None` once it is forgotten.
    pub(crate) fn name(&self, key: GroupKey) -> Option<&Arc<SubscriptionKey>> {
        Some(&self.all.get(key as usize)?.name)
    }

    /// What the other shards are told of it.
    pub(crate) fn census(&self, key: GroupKey) -> Census {
        self.all
            .get(key as usize)
            .map_or_else(Census::default, Group::census)
    }

    /// The groups that this shard has members of, in the order of their names.
    pub(crate) fn own(&self) -> Vec<(Arc<SubscriptionKey>, Census)> {
        let all = self.all.iter();
        let all = all.map(|(_, group)| (Arc::clone(&group.name), group.census()));
        let mut own: Vec<_> = all.filter(|(_, census)| !census.is_empty()).collect();
        own.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        own
    }

    /// The groups that another shard has members of.
    pub(crate) fn of_shard(&self, shard: ShardIndex) -> Vec<Arc<SubscriptionKey>> {
        let all = self.all.iter().map(|(_, group)| group);
        let its = all.filter(|group| !group.elsewhere[usize::from(shard)].is_empty());
        its.map(|group| Arc::clone(&group.name)).collect()
    }

    /// Another shard tells of its members.
    pub(crate) fn set_census(&mut self, key: GroupKey, shard: ShardIndex, census: Census) {
        if let Some(group) = self.all.get_mut(key as usize) {
            let shard = usize::from(shard);
            group.elsewhere[shard] = census;
            if census.online == 0 {
                group.credits[shard] = 0;
            }
        }
    }

    /// A client of this shard becomes a member, or its options change; whether it is new.
    pub(crate) fn join(
        &mut self,
        key: GroupKey,
        member: LocalSubscriber,
        online: bool,
        durable: bool,
    ) -> bool {
        let Some(group) = self.all.get_mut(key as usize) else {
            return false;
        };
        let ring = if online {
            &mut group.online
        } else {
            &mut group.away
        };
        let is_new = ring.insert(member);
        group.durable += usize::from(is_new && durable);
        is_new
    }

    /// A client of this shard is no member any more; whether it was.
    pub(crate) fn leave(&mut self, key: GroupKey, session: SessionKey, durable: bool) -> bool {
        let Some(group) = self.all.get_mut(key as usize) else {
            return false;
        };
        let member = group.online.remove(session).or(group.away.remove(session));
        group.durable -= usize::from(member.is_some() && durable);
        member.is_some()
    }

    /// A member of this shard is there now, or away.
    pub(crate) fn move_member(&mut self, key: GroupKey, session: SessionKey, online: bool) {
        let Some(group) = self.all.get_mut(key as usize) else {
            return;
        };
        let (from, to) = if online {
            (&mut group.away, &mut group.online)
        } else {
            (&mut group.online, &mut group.away)
        };
        if let Some(member) = from.remove(session) {
            to.insert(member);
        }
    }

    /// The shard whose turn it is, and whether somebody is there; `None` where the group has no member left.
    ///
    /// Shards take turns in proportion to their members, as evenly as can be: each earns credit for its members, and the richest pays for all.
    pub(crate) fn choose(&mut self, key: GroupKey) -> Option<(ShardIndex, Phase)> {
        let own = self.own;
        let group = self.all.get_mut(key as usize)?;
        let here = group.census();
        let mut total = 0;
        let mut richest = own;
        for (shard, other) in (0..).zip(&group.elsewhere) {
            let online = if shard == own {
                here.online
            } else {
                other.online
            };
            if online == 0 {
                continue;
            }
            total += i64::from(online);
            group.credits[usize::from(shard)] += i64::from(online);
            if group.credits[usize::from(shard)] > group.credits[usize::from(richest)]
                || group.online_on(richest, own) == 0
            {
                richest = shard;
            }
        }
        if total > 0 {
            group.credits[usize::from(richest)] -= total;
            return Some((richest, Phase::Room));
        }
        group.choose_away(own).map(|shard| (shard, Phase::Any))
    }

    /// Where a search that found nobody here goes on. What is not queued is not looked for in queues.
    pub(crate) fn next(&self, key: GroupKey, search: Search, is_queued: bool) -> Next {
        let Some(group) = self.all.get(key as usize) else {
            return Next::Nobody;
        };
        let left = self.count.saturating_sub(search.walked + 1);
        for step in 1..=left {
            let shard = (self.own + step) % self.count;
            if group.elsewhere[usize::from(shard)].members(search.phase) > 0 {
                let walked = search.walked + step;
                return Next::Shard(shard, Search { walked, ..search });
            }
        }
        match search.phase {
            Phase::Room | Phase::Queue if !is_queued => Next::Nobody,
            Phase::Room => Next::Here(Search::new(Phase::Queue)),
            Phase::Queue => Next::Here(Search::new(Phase::Any)),
            Phase::Any => Next::Nobody,
        }
    }

    /// How many members of this shard a search looks at.
    pub(crate) fn member_count(&self, key: GroupKey, phase: Phase) -> usize {
        self.all
            .get(key as usize)
            .map_or(0, |group| group.ring(phase).members.len())
    }

    /// The next member of this shard in turn.
    pub(crate) fn take_turn(&mut self, key: GroupKey, phase: Phase) -> Option<LocalSubscriber> {
        let group = self.all.get_mut(key as usize)?;
        match phase {
            Phase::Room | Phase::Queue => group.online.take_turn(),
            Phase::Any => group.away.take_turn(),
        }
    }

    /// Whether anybody is there, on any shard.
    pub(crate) fn has_online(&self, key: GroupKey) -> bool {
        self.all.get(key as usize).is_some_and(|group| {
            group.census().online > 0 || group.elsewhere.iter().any(|census| census.online > 0)
        })
    }

    /// Whether a member of any shard must not lose a message with the process.
    pub(crate) fn is_durable(&self, key: GroupKey) -> bool {
        self.all.get(key as usize).is_some_and(|group| {
            group.durable > 0 || group.elsewhere.iter().any(|census| census.durable)
        })
    }
}

impl Group {
    fn census(&self) -> Census {
        Census {
            online: self.online.len(),
            away: self.away.len(),
            durable: self.durable > 0,
        }
    }

    fn ring(&self, phase: Phase) -> &Ring {
        match phase {
            Phase::Room | Phase::Queue => &self.online,
            Phase::Any => &self.away,
        }
    }

    fn online_on(&self, shard: ShardIndex, own: ShardIndex) -> u32 {
        if shard == own {
            self.online.len()
        } else {
            self.elsewhere[usize::from(shard)].online
        }
    }

    /// Members that are away take turns over all shards.
    fn choose_away(&mut self, own: ShardIndex) -> Option<ShardIndex> {
        let here = self.away.len();
        let of = |shard: ShardIndex, other: &Census| {
            u64::from(if shard == own { here } else { other.away })
        };
        let shards = || (0..).zip(&self.elsewhere);
        let total: u64 = shards().map(|(shard, other)| of(shard, other)).sum();
        let mut turn = self.away_turn.checked_rem(total)?;
        self.away_turn = self.away_turn.wrapping_add(1);
        for (shard, other) in (0..).zip(&self.elsewhere) {
            let away = of(shard, other);
            if turn < away {
                return Some(shard);
            }
            turn -= away;
        }
        None
    }
}

impl Ring {
    fn new(seed: &HashSeed) -> Self {
        Self {
            members: Vec::new(),
            places: HashMap::with_hasher(seed.state()),
            turn: 0,
        }
    }

    fn len(&self) -> u32 {
        u32::try_from(self.members.len()).unwrap_or(u32::MAX)
    }

    fn insert(&mut self, member: LocalSubscriber) -> bool {
        if let Some(place) = self.places.get(&member.session) {
            self.members[*place] = member;
            return false;
        }
        self.places.insert(member.session, self.members.len());
        self.members.push(member);
        true
    }

    fn remove(&mut self, session: SessionKey) -> Option<LocalSubscriber> {
        let place = self.places.remove(&session)?;
        let member = self.members.swap_remove(place);
        if let Some(moved) = self.members.get(place) {
            self.places.insert(moved.session, place);
        }
        Some(member)
    }

    fn take_turn(&mut self) -> Option<LocalSubscriber> {
        let turn = if self.turn < self.members.len() {
            self.turn
        } else {
            0
        };
        let member = self.members.get(turn)?.clone();
        self.turn = turn + 1;
        Some(member)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use symbolon_mqtt_proto::{Qos, TopicFilter};

    fn name(text: &str) -> SubscriptionKey {
        let (share_name, filter) = TopicFilter::parse_shared(text).unwrap();
        SubscriptionKey { share_name, filter }
    }

    fn member(session: SessionKey) -> LocalSubscriber {
        LocalSubscriber {
            session,
            maximum_qos: Qos::AtLeastOnce,
            no_local: false,
            retain_as_published: false,
            subscription_identifiers: [].into(),
        }
    }

    fn online(online: u32) -> Census {
        Census {
            online,
            ..Census::default()
        }
    }

    fn groups(own: ShardIndex, count: ShardIndex) -> (Groups, GroupKey) {
        let mut groups = Groups::new(own, count, &HashSeed::from_words([1, 2, 3, 4]));
        let (key, is_new) = groups.place(&name("$share/g/a"));
        assert!(is_new);
        (groups, key)
    }

    #[test]
    fn shards_take_turns_in_proportion_to_their_members() {
        let (mut groups, key) = groups(1, 3);
        groups.join(key, member(1), true, false);
        groups.join(key, member(2), true, false);
        groups.set_census(key, 0, online(5));
        groups.set_census(key, 2, online(3));
        for _ in 0..7 {
            let mut turns = BTreeMap::new();
            for _ in 0..10 {
                let (shard, phase) = groups.choose(key).unwrap();
                assert_eq!(phase, Phase::Room);
                *turns.entry(shard).or_insert(0) += 1;
            }
            assert_eq!(turns, BTreeMap::from([(0, 5), (1, 2), (2, 3)]));
        }
    }

    #[test]
    fn members_that_are_away_get_their_turn_only_when_nobody_is_there() {
        let (mut groups, key) = groups(0, 2);
        groups.join(key, member(1), false, true);
        let away = Census {
            away: 1,
            ..Census::default()
        };
        groups.set_census(key, 1, away);
        let mut turns = [0, 0];
        for _ in 0..8 {
            let (shard, phase) = groups.choose(key).unwrap();
            assert_eq!(phase, Phase::Any);
            turns[usize::from(shard)] += 1;
        }
        assert_eq!(turns, [4, 4]);
        groups.move_member(key, 1, true);
        assert_eq!(groups.choose(key), Some((0, Phase::Room)));
        assert!(groups.is_durable(key) && groups.has_online(key));
    }

    #[test]
    fn a_search_visits_each_shard_once_in_each_phase_and_ends() {
        let (mut groups, key) = groups(1, 4);
        groups.set_census(key, 0, online(1));
        groups.set_census(key, 3, online(1));
        let first = groups.next(key, Search::new(Phase::Room), true);
        let Next::Shard(3, search) = first else {
            panic!("{first:?}");
        };
        // Seen from here: the ring of four has one place left beyond shard 3.
        assert_eq!(search.walked, 2);
        let exhausted = Search {
            walked: 3,
            ..search
        };
        let queue = groups.next(key, exhausted, true);
        assert_eq!(queue, Next::Here(Search::new(Phase::Queue)));
        assert_eq!(groups.next(key, exhausted, false), Next::Nobody);
        let any = Search {
            phase: Phase::Any,
            walked: 3,
        };
        assert_eq!(groups.next(key, any, true), Next::Nobody);
    }

    #[test]
    fn members_of_one_shard_take_turns_and_leave_without_a_gap() {
        let (mut groups, key) = groups(0, 1);
        for session in 0..4 {
            assert!(groups.join(key, member(session), true, false));
        }
        assert!(!groups.join(key, member(2), true, false));
        let mut turn = || groups.take_turn(key, Phase::Room).unwrap().session;
        assert_eq!([turn(), turn(), turn(), turn(), turn()], [0, 1, 2, 3, 0]);
        assert!(groups.leave(key, 1, false) && !groups.leave(key, 1, false));
        let mut rest: Vec<_> = (0..3)
            .map(|_| groups.take_turn(key, Phase::Room).unwrap().session)
            .collect();
        rest.sort_unstable();
        assert_eq!(rest, [0, 2, 3]);
    }

    #[test]
    fn a_group_is_forgotten_with_its_last_member_anywhere() {
        let (mut groups, key) = groups(0, 2);
        groups.join(key, member(1), true, false);
        groups.set_census(key, 1, online(1));
        groups.leave(key, 1, false);
        assert!(!groups.prune(key));
        groups.set_census(key, 1, Census::default());
        assert!(groups.prune(key) && !groups.prune(key));
        assert_eq!(groups.find(&name("$share/g/a")), None);
        assert_eq!(groups.choose(key), None);
    }
}
