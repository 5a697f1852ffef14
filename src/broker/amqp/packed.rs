//! A message's properties as a lane's consumer keeps them until the message is settled. In memory they take more than a
//! kilobyte, mostly for what is not set; as they travel, some sixty bytes. They are needed again only for a dead letter.

use amq_protocol::protocol::basic::{gen_properties, parse_properties};
use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable};

/// Tables within tables are packed so deep; reading them calls itself as often.
const DEEPEST_PACKED: u32 = 32;

/// Properties that wait.
#[derive(Debug)]
pub(in crate::broker) enum Packed {
    /// As they travel.
    Wire(Box<[u8]>),
    /// What would not come out as it went in: a number that is none, or tables too deep.
    Whole(Box<BasicProperties>),
}

impl Packed {
    /// Packs them.
    pub(in crate::broker) fn new(properties: BasicProperties) -> Self {
        let headers = properties.headers().as_ref();
        if headers.is_none_or(|headers| table_within(headers, DEEPEST_PACKED))
            && let Ok(wire) = cookie_factory::gen_simple(gen_properties(&properties), Vec::new())
            && parsed(&wire).as_ref() == Some(&properties)
        {
            return Self::Wire(wire.into());
        }
        Self::Whole(Box::new(properties))
    }

    /// They as they were.
    pub(in crate::broker) fn unpack(&self) -> BasicProperties {
        match self {
            Self::Wire(wire) => parsed(wire).unwrap_or_default(),
            Self::Whole(properties) => (**properties).clone(),
        }
    }
}

fn parsed(wire: &[u8]) -> Option<BasicProperties> {
    parse_properties(wire).ok().map(|(_, properties)| properties)
}

/// Whether tables and lists stand inside each other at most so deep.
fn table_within(table: &FieldTable, depth: u32) -> bool {
    depth > 0 && table.inner().values().all(|value| within(value, depth - 1))
}

fn within(value: &AMQPValue, depth: u32) -> bool {
    if let AMQPValue::FieldTable(table) = value {
        table_within(table, depth)
    } else if let AMQPValue::FieldArray(items) = value {
        depth > 0 && items.as_slice().iter().all(|item| within(item, depth - 1))
    } else {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lapin::types::FieldArray;

    #[test]
    fn they_come_out_as_they_went_in() {
        let mut headers = FieldTable::default();
        headers.insert("a".into(), AMQPValue::LongString("text".into()));
        headers.insert("n".into(), AMQPValue::LongLongInt(-5));
        let plain = BasicProperties::default().with_headers(headers.clone()).with_delivery_mode(2);
        let packed = Packed::new(plain.clone());
        assert!(matches!(&packed, Packed::Wire(wire) if wire.len() < 60));
        assert_eq!(packed.unpack(), plain);
        headers.insert("nan".into(), AMQPValue::Double(f64::NAN));
        let odd = Packed::new(BasicProperties::default().with_headers(headers));
        assert!(matches!(&odd, Packed::Whole(_)));
        assert_eq!(odd.unpack().headers().as_ref().map(|headers| headers.inner().len()), Some(3));
        let mut value = AMQPValue::Void;
        for _ in 0..10_000 {
            value = AMQPValue::FieldArray(FieldArray::from(vec![value]));
        }
        let mut headers = FieldTable::default();
        headers.insert("deep".into(), value);
        let deep = Packed::new(BasicProperties::default().with_headers(headers));
        assert!(matches!(&deep, Packed::Whole(_)));
        // Taking it apart calls itself as often as it is deep.
        std::mem::forget(deep);
    }
}
