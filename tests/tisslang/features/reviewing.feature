Feature: People
  A person reviews, chooses, and lets go on; what was decided is on record.

  Scenario: A review that is approved
    Given the script
      """
      VAR draft = "Dear all"
      REQUEST_REVIEW draft
      WRITE "sent.txt" draft
      """
    When it is run with the answer "approve"
    Then it succeeds
    And the file "sent.txt" holds "Dear all"

  Scenario: A review that is rejected
    Given the script
      """
      VAR draft = "Dear all"
      REQUEST_REVIEW draft
      WRITE "sent.txt" draft
      """
    When it is run with the answer "reject: too short"
    Then it fails with "R208"
    And the message has "too short"
    And there is no file "sent.txt"

  Scenario: Nobody is there, and nothing is approved
    Given the script
      """
      REQUEST_REVIEW "this"
      """
    When it is run
    Then it fails with "R208"

  Scenario: A choice
    Given the script
      """
      CHOOSE "Which way?" {
          OPTION "Short" { WRITE "way.txt" "short" }
          OPTION "Long" { WRITE "way.txt" "long" }
      }
      """
    When it is run with the answer "Long"
    Then it succeeds
    And the file "way.txt" holds "long"
