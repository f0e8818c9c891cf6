Feature: Assertions
  What must hold is said, and shown when it does not.

  Scenario: A failed assertion shows the values and the command that led to it
    Given the script
      """
      RUN "echo tests broken >&2; exit 3"
      ASSERT LAST_RUN.EXIT_CODE == 0
      """
    When it is run
    Then it fails with "R202"
    And the message has "LAST_RUN.EXIT_CODE is 3"
    And the message has "this command ended with 3"
    And the message has "tests broken"

  Scenario: A failure can be caught
    Given the script
      """
      TRY {
          ASSERT 1 == 2
      } CATCH AS problem {
          WRITE "problem.txt" problem.code
      }
      """
    When it is run
    Then it succeeds
    And the file "problem.txt" holds "R202"

  Scenario: A model corrects what fails
    Given the model answers "wrong" and then "right"
    And the script
      """
      PROMPT_AGENT "Write it." INTO text
      RETRY MAX 3 {
          WRITE "answer.txt" text
          ASSERT text == "right", "it is not right"
      } FIX_WITH PROMPT_AGENT "It failed: {{failure}}" INTO text
      """
    When it is run
    Then it succeeds
    And the file "answer.txt" holds "right"

  Scenario: Correction stops when the same failure comes back
    Given the model answers "wrong" and then "as wrong"
    And the script
      """
      VAR text = "bad"
      RETRY MAX 9 {
          ASSERT text == "right", "it is not right"
          LOG text
      } FIX_WITH PROMPT_AGENT "It failed." INTO other
      """
    When it is run
    Then it fails with "R202"
    And the message has "the same failure came back"

  Scenario: A budget stops a model before it is asked
    Given the model answers "a long answer" and then "another"
    And the script
      """
      SET_BUDGET API_CALLS = 1
      PROMPT_AGENT "Once." INTO first
      PROMPT_AGENT "Twice." INTO second
      """
    When it is run
    Then it fails with "R205"
