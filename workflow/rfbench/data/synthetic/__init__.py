"""The generator: synthetic fundus photographs and masks, packed in the raw layouts of IDRiD and DDR."""
