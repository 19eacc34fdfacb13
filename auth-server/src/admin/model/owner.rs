//! Resource owners.

use super::{ModelError, Policy};
use crate::store;
use serde::{Deserialize, Serialize};
use symbolon_mqtt_proto::TopicFilter;
use utoipa::ToSchema;

/// Someone who owns Topic Filter trees and may grant within them. As a request: one to be made, or to be given more.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Owner {
    /// The owner's name.
    pub name: String,
    /// What they own.
    pub trees: Vec<Tree>,
}

/// A Topic Filter at a resource server, and all that it matches.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Tree {
    /// At which resource server.
    pub audience: String,
    /// The Topic Filter.
    pub filter: String,
}

/// What is taken from an owner.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RemoveOwner {
    /// These; without any, the owner is removed.
    #[serde(default)]
    pub trees: Vec<Tree>,
}

/// What went with it.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct OwnerRemoved {
    /// The rules that the owner had granted and that were removed, since they lie outside of what is left.
    pub policies: Vec<Policy>,
}

impl From<&store::Owner> for Owner {
    fn from(owner: &store::Owner) -> Self {
        Self {
            name: owner.name.clone(),
            trees: owner.trees.iter().map(Tree::from).collect(),
        }
    }
}

impl TryFrom<Owner> for store::Owner {
    type Error = ModelError;

    fn try_from(owner: Owner) -> Result<Self, ModelError> {
        Ok(Self {
            name: owner.name,
            trees: trees(owner.trees)?,
        })
    }
}

impl From<&store::Tree> for Tree {
    fn from(tree: &store::Tree) -> Self {
        Self {
            audience: tree.audience.clone(),
            filter: tree.filter.as_str().to_owned(),
        }
    }
}

impl TryFrom<Tree> for store::Tree {
    type Error = ModelError;

    fn try_from(tree: Tree) -> Result<Self, ModelError> {
        let filter = TopicFilter::parse(&tree.filter);
        let refused = |error| ModelError::new("trees", format!("{:?}: {error}", tree.filter));
        Ok(Self {
            audience: tree.audience,
            filter: filter.map_err(refused)?,
        })
    }
}

impl RemoveOwner {
    /// The trees.
    pub fn parse(self) -> Result<Vec<store::Tree>, ModelError> {
        trees(self.trees)
    }
}

fn trees(trees: Vec<Tree>) -> Result<Vec<store::Tree>, ModelError> {
    trees.into_iter().map(store::Tree::try_from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_comes_back_from_its_message() {
        let text = r#"{"name":"acme","trees":[{"audience":"broker","filter":"acme/#"}]}"#;
        let read: Owner = serde_json::from_str(text).unwrap();
        let owner = store::Owner::try_from(read).unwrap();
        assert_eq!(serde_json::to_string(&Owner::from(&owner)).unwrap(), text);
        let wrong = r#"{"trees":[{"audience":"broker","filter":"a/#/b"}]}"#;
        let wrong: RemoveOwner = serde_json::from_str(wrong).unwrap();
        assert!(wrong.parse().is_err());
    }
}
