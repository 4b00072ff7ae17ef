"""The verifier: owns authenticators, recovery codes and live passcodes, and says whether a second factor is right."""
