"""The repository on other machines than this one: fresh Debians, other Pythons."""
