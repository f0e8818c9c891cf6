Feature: Going on
  A run that waits, fails or dies goes on without doing anything twice.

  Scenario: A run waits for a person
    Given the script
      """
      RUN "echo once >> log.txt"
      REQUEST_REVIEW "May it go on?"
      RUN "echo then >> log.txt"
      """
    When it is run, and nobody is there to wait for
    Then it waits
    And the file "log.txt" holds "once\n"
    When it goes on with the answer "approve"
    Then it succeeds
    And the file "log.txt" holds "once\nthen\n"

  Scenario: A mended script goes on where it failed
    Given the script
      """
      RUN "echo once >> log.txt"
      RUN "exit 1"
      ASSERT LAST_RUN.EXIT_CODE == 0
      """
    When it is run
    Then it fails with "R202"
    When it goes on with the script
      """
      RUN "echo once >> log.txt"
      RUN "true"
      ASSERT LAST_RUN.EXIT_CODE == 0
      """
    Then it succeeds
    And the file "log.txt" holds "once\n"
    And the message has "wants something else from here on"

  Scenario: The step that failed is done again
    Given the script
      """
      STEP "First" { RUN "echo once >> log.txt" }
      STEP "Second" {
          RUN "test -e ready.txt"
          ASSERT LAST_RUN.EXIT_CODE == 0
      }
      """
    When it is run
    Then it fails with "R202"
    Given a file "ready.txt" with ""
    When it does the failed step again
    Then it succeeds
    And the file "log.txt" holds "once\n"

  Scenario: A run that is done is told again from its record
    Given the script
      """
      RUN "echo once >> log.txt"
      """
    When it is run
    And it is replayed
    Then it succeeds
    And the file "log.txt" holds "once\n"

  Scenario: A record that was tampered with is not gone on with
    Given the script
      """
      RUN "true"
      REQUEST_REVIEW "May it go on?"
      """
    When it is run, and nobody is there to wait for
    And somebody changes the record
    And it goes on with the answer "approve"
    Then it is refused
    And the message has "is not what was written"

  Scenario: Files that somebody else changed are not gone over
    Given the script
      """
      WRITE "text.txt" "ours"
      REQUEST_REVIEW "May it go on?"
      """
    When it is run, and nobody is there to wait for
    Given a file "text.txt" with "theirs"
    When it goes on with the answer "approve"
    Then it is refused
    And the message has "text.txt was changed"
