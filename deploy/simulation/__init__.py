"""What guards do against attackers, played in fast motion."""
