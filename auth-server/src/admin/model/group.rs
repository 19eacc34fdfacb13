//! Groups of clients, and audiences that stand for several resource servers.

use crate::store;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A group of clients.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct Group {
    /// Its name; what `${group}` stands for.
    pub name: String,
    /// The identifiers of its members, in their order.
    pub members: Vec<String>,
}

/// A group to be made, without members.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewGroup {
    /// Its name.
    pub name: String,
}

/// Who becomes a member and who is none any more, all or nothing.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MemberChange {
    /// Clients that become members.
    #[serde(default)]
    pub add: Vec<String>,
    /// Clients that are members no more.
    #[serde(default)]
    pub remove: Vec<String>,
}

/// An audience that stands for several resource servers (RFC 9200 §6.9).
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct AudienceGroup {
    /// The audience.
    pub name: String,
    /// The audiences of its resource servers.
    pub members: Vec<String>,
}

/// Resource servers that an audience shall stand for too.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AudienceGroupMembers {
    /// The audiences of registered resource servers.
    pub members: Vec<String>,
}

impl From<store::Group> for Group {
    fn from(store::Group { name, members }: store::Group) -> Self {
        Self { name, members }
    }
}

impl AudienceGroup {
    /// From pairs of group and member, those of one group in a row.
    pub fn gather(pairs: Vec<(String, String)>) -> Vec<Self> {
        let mut groups: Vec<Self> = Vec::new();
        for (name, member) in pairs {
            match groups.last_mut() {
                Some(last) if last.name == name => last.members.push(member),
                Some(_) | None => groups.push(Self {
                    name,
                    members: vec![member],
                }),
            }
        }
        groups
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_of_one_audience_group_become_one() {
        let pairs = [("a", "x"), ("a", "y"), ("b", "x")];
        let pairs = pairs.map(|(name, member)| (name.to_owned(), member.to_owned()));
        let groups = AudienceGroup::gather(pairs.to_vec());
        let members: Vec<usize> = groups.iter().map(|group| group.members.len()).collect();
        assert_eq!(members, [2, 1]);
    }
}
