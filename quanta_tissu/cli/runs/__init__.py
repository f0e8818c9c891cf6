"""What became of runs (`tissu runs`, `audit`, `report`), and what they must not show (`tissu secret`)."""
